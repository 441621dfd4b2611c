// Fields of a CBOR map, read strictly; and the documents that several protocols share.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::wire {

/// Text that need not be UTF-8 (paths, messages that quote names) travels as a byte string.
nlohmann::json bytes(const std::string& text);

/// Reads members of a map, each once; the first one missing, mistyped or out of range is the error,
/// `protocol_error`.
class Fields final {
 public:
  /// `object` is borrowed.
  explicit Fields(const nlohmann::json& object) : object_(object) {}

  std::string text(const char* name);
  template <class T>
  T integer(const char* name, T lowest, T highest) {
    return static_cast<T>(
        number(name, static_cast<std::int64_t>(lowest), static_cast<std::int64_t>(highest)));
  }
  bool boolean(const char* name);
  const nlohmann::json& member(const char* name);
  const nlohmann::json* find(const char* name);

  Result<> result() const;
  /// After everything was read: whoever sent a field that nobody reads meant something by it.
  Result<> finish() const;

 private:
  std::int64_t number(const char* name, std::int64_t lowest, std::int64_t highest);
  void fault(const char* name) {
    if (fault_.empty()) fault_ = name;
  }

  const nlohmann::json& object_;
  std::size_t read_ = 0;
  std::string fault_;
};

/// A fault of a nested document is a fault of the message that carries it.
template <class T>
Result<T> as_protocol_error(Result<T> result) {
  if (result || result.error().reason == "protocol_error") return result;
  Error error = with_context(std::move(result).error(), "decode message");
  error.code = Code::kInvalidArgument;
  error.reason = "protocol_error";
  return error;
}

nlohmann::json encode_error(const Error& error);
/// A Result<Error> would not tell its value from its error.
Result<> decode_error(const nlohmann::json& value, Error& error);

}  // namespace caisson::wire
