#include "spec/json_reader.h"

#include <algorithm>

#include "caisson/spec.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

constexpr std::string_view kKeyPrefix = "base64:";
constexpr std::string_view kBytes = "_bytes";
constexpr std::string_view kUnits[] = {kBytes, "_ns"};

std::string encode_key(const std::string& key) {
  if (is_utf8(key) && !key.starts_with(kKeyPrefix)) return key;
  return format("{}{}", kKeyPrefix, base64_encode(key));
}

Result<std::string> decode_key(const std::string& key, const Context& context) {
  if (!key.starts_with(kKeyPrefix)) return key;
  std::optional<std::string> bytes = base64_decode(std::string_view(key).substr(kKeyPrefix.size()));
  if (!bytes) return unexpected_value(context, "base 64 after 'base64:' in a key");
  return std::move(*bytes);
}

/// The near field name; its unit may have been left out ("memory" for "memory_bytes").
std::string near_field(std::string_view word, const std::vector<std::string>& fields) {
  std::string near = did_you_mean(word, fields);
  if (!near.empty()) return near;
  std::vector<std::string> stems;
  for (const std::string& field : fields) {
    std::string_view stem = field;
    for (std::string_view unit : kUnits)
      if (stem.ends_with(unit)) stem.remove_suffix(unit.size());
    stems.emplace_back(stem);
  }
  near = did_you_mean(word, stems);
  const auto at = std::ranges::find(stems, near);
  if (near.empty() || at == stems.end()) return {};
  return fields[static_cast<std::size_t>(at - stems.begin())];
}

}  // namespace

std::string Context::path() const {
  std::string own = index ? format("[{}]", *index) : std::string(name);
  // The document's own name is not part of the path below it.
  if (parent == nullptr || parent->parent == nullptr)
    return parent != nullptr && index ? format("{}{}", parent->name, own) : own;
  return format("{}{}{}", parent->path(), index ? "" : ".", own);
}

Error unexpected_value(const Context& context, std::string_view what, std::string hint) {
  return invalid("field_invalid", format("read {}: expected {}", quote(context.path()), what),
                 std::move(hint));
}

Error fault_in_text(const Context& context, Error error) {
  return with_context(std::move(error), format("read {}", quote(context.path())));
}

Result<> read_value(const json& value, bool& out, const Context& context) {
  if (!value.is_boolean()) return unexpected_value(context, "true or false");
  out = value.get<bool>();
  return {};
}

Result<> read_value(const json& value, std::uint64_t& out, const Context& context) {
  if (value.is_string() && context.name.ends_with(kBytes)) {
    Result<std::uint64_t> size = parse_size(value.get_ref<const std::string&>());
    if (!size) return fault_in_text(context, std::move(size).error());
    out = *size;
    return {};
  }
  const bool negative =
      value.is_number_integer() && !value.is_number_unsigned() && value.get<std::int64_t>() < 0;
  if (!value.is_number_integer() || negative)
    return unexpected_value(context, "an integer of 0 or more");
  out = value.get<std::uint64_t>();
  return {};
}

Result<> read_value(const json& value, std::int64_t& out, const Context& context) {
  if (!value.is_number_integer()) return unexpected_value(context, "an integer");
  if (value.is_number_unsigned() && !std::in_range<std::int64_t>(value.get<std::uint64_t>()))
    return unexpected_value(context, "a smaller number");
  out = value.get<std::int64_t>();
  return {};
}

Result<> read_value(const json& value, double& out, const Context& context) {
  if (!value.is_number()) return unexpected_value(context, "a number");
  out = value.get<double>();
  return {};
}

Result<> read_value(const json& value, std::string& out, const Context& context) {
  if (value.is_string()) {
    out = value.get_ref<const std::string&>();
    return {};
  }
  const json* encoded = nullptr;
  if (value.is_object() && value.size() == 1 && value.contains("base64"))
    encoded = &value.at("base64");
  if (encoded == nullptr || !encoded->is_string())
    return unexpected_value(context, "a string or {\"base64\": ...}");
  std::optional<std::string> bytes = base64_decode(encoded->get_ref<const std::string&>());
  if (!bytes) return unexpected_value(context, "valid base 64");
  out = std::move(*bytes);
  return {};
}

Result<> read_value(const json& value, std::chrono::nanoseconds& out, const Context& context) {
  if (value.is_string()) {
    Result<std::chrono::nanoseconds> time = parse_duration(value.get_ref<const std::string&>());
    if (!time) return fault_in_text(context, std::move(time).error());
    out = *time;
    return {};
  }
  std::int64_t count = 0;
  TRY(read_value(value, count, context));
  out = std::chrono::nanoseconds(count);
  return {};
}

Result<> read_value(const json& value, std::map<std::string, std::string>& out,
                    const Context& context) {
  if (!value.is_object()) return unexpected_value(context, "an object");
  out.clear();
  for (const auto& [key, element] : value.items()) {
    std::string text;
    TRY(read_value(element, text, context.field(key)));
    if (!out.emplace(TRY(decode_key(key, context)), std::move(text)).second)
      return unexpected_value(context, "every key once");
  }
  return {};
}

Result<> read_value(const json& value, std::set<std::string>& out, const Context& context) {
  std::vector<std::string> texts;
  TRY(read_value(value, texts, context));
  out = {texts.begin(), texts.end()};
  return {};
}

ObjectReader::ObjectReader(const json& object, const Context& context)
    : object_(object), context_(context) {
  if (!object_.is_object()) fault_ = unexpected_value(context_, "an object");
}

const json* ObjectReader::take(std::string_view name) {
  found_last_ = false;
  if (fault_) return nullptr;
  known_.emplace_back(name);
  const auto at = object_.find(known_.back());
  if (at == object_.end()) return nullptr;
  found_last_ = true;
  ++found_;
  return &*at;
}

void ObjectReader::keep(Result<> result) {
  if (!result && !fault_) fault_ = std::move(result).error();
}

Result<> ObjectReader::finish() {
  if (fault_) return std::move(*fault_);
  if (context_.unknown == UnknownFields::kIgnore || found_ == object_.size()) return {};
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::count(known_, name) > 0) continue;
    const std::string near = near_field(name, known_);
    return invalid("field_unknown", format("unknown field {} in {}", quote(name), context_.path()),
                   near.empty() ? format("known fields: {}", join(known_, ", "))
                                : format("did you mean '{}'?", near));
  }
  return {};
}

json encode_text(std::string_view text) {
  if (is_utf8(text)) return json(std::string(text));
  json object = json::object();
  object["base64"] = base64_encode(text);
  return object;
}

json encode_text_map(const std::map<std::string, std::string>& map) {
  json object = json::object();
  for (const auto& [key, value] : map) object[encode_key(key)] = encode_text(value);
  return object;
}

}  // namespace caisson::spec
