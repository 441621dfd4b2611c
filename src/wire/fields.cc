#include "wire/fields.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace caisson::wire {
namespace {

using nlohmann::json;

constexpr int kLastErrno = 4095;  // MAX_ERRNO of the kernel

std::optional<std::string> text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_binary()) return std::nullopt;
  return std::string(value.get_binary().begin(), value.get_binary().end());
}

}  // namespace

json bytes(const std::string& text) {
  return json::binary(std::vector<std::uint8_t>(text.begin(), text.end()));
}

std::string Fields::text(const char* name) {
  const json* value = find(name);
  std::optional<std::string> text = value == nullptr ? std::nullopt : text_of(*value);
  if (!text) return fault(name), std::string();
  return std::move(*text);
}

std::int64_t Fields::number(const char* name, std::int64_t lowest, std::int64_t highest) {
  const json* value = find(name);
  if (value == nullptr || !value->is_number_integer()) return fault(name), lowest;
  const bool huge = value->is_number_unsigned() &&
                    value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const auto number = value->get<std::int64_t>();
  if (huge || number < lowest || number > highest) return fault(name), lowest;
  return number;
}

bool Fields::boolean(const char* name) {
  const json* value = find(name);
  if (value == nullptr || !value->is_boolean()) return fault(name), false;
  return value->get<bool>();
}

const json& Fields::member(const char* name) {
  static const json kNull;
  const json* value = find(name);
  if (value == nullptr) return fault(name), kNull;
  return *value;
}

const json* Fields::find(const char* name) {
  const auto it = object_.find(name);
  if (it == object_.end()) return nullptr;
  ++read_;
  return &*it;
}

Result<> Fields::result() const {
  if (fault_.empty()) return {};
  return make_error(
      Code::kInvalidArgument, "protocol_error",
      format("decode message: field '{}' is missing, of the wrong type or out of range", fault_));
}

Result<> Fields::finish() const {
  TRY(result());
  if (read_ == object_.size()) return {};
  return make_error(Code::kInvalidArgument, "protocol_error",
                    "decode message: it has an unknown field");
}

json encode_error(const Error& error) {
  return {{"code", static_cast<int>(error.code)},
          {"errno", error.sys_errno},
          {"reason", bytes(error.reason)},
          {"message", bytes(error.message)},
          {"hint", bytes(error.hint)}};
}

Result<> decode_error(const json& value, Error& error) {
  Fields fields(value);
  const int code = fields.integer("code", static_cast<int>(Code::kCancelled),
                                  static_cast<int>(Code::kUnauthenticated));
  error = make_error(static_cast<Code>(code), fields.text("reason"), fields.text("message"),
                     fields.text("hint"));
  error.sys_errno = fields.integer("errno", 0, kLastErrno);
  return fields.finish();
}

}  // namespace caisson::wire
