// Reading JSON values into fields with errors that say where.
#pragma once

#include <chrono>
#include <concepts>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "spec/json.h"
#include "spec/names.h"
#include "spec/text.h"

namespace caisson::spec {

/// Where in a document the reading is; lives on the stack of the readers above it.
struct Context {
  const Context* parent = nullptr;
  std::string_view name;             ///< of the field, or of the whole document
  std::optional<std::size_t> index;  ///< in an array
  UnknownFields unknown = UnknownFields::kRefuse;

  /// "limits.pids", "mounts[2]".
  std::string path() const;
  Context field(std::string_view field_name) const { return {this, field_name, {}, unknown}; }
  Context element(std::size_t i) const { return {this, {}, i, unknown}; }
};

/// "read 'limits.pids': expected WHAT", reason `field_invalid`.
Error unexpected_value(const Context& context, std::string_view what, std::string hint = {});
/// A fault in a text that people write: "read 'limits.memory_bytes': parse size 'x': not a number".
Error fault_in_text(const Context& context, Error error);

Result<> read_value(const nlohmann::json& value, bool& out, const Context& context);
Result<> read_value(const nlohmann::json& value, std::uint64_t& out, const Context& context);
Result<> read_value(const nlohmann::json& value, std::int64_t& out, const Context& context);
Result<> read_value(const nlohmann::json& value, double& out, const Context& context);
Result<> read_value(const nlohmann::json& value, std::string& out, const Context& context);
Result<> read_value(const nlohmann::json& value, std::chrono::nanoseconds& out,
                    const Context& context);
Result<> read_value(const nlohmann::json& value, std::map<std::string, std::string>& out,
                    const Context& context);
Result<> read_value(const nlohmann::json& value, std::set<std::string>& out,
                    const Context& context);
Result<> read_value(const nlohmann::json& value, OutputLimit& out, const Context& context);
Result<> read_value(const nlohmann::json& value, Limits& out, const Context& context);
Result<> read_value(const nlohmann::json& value, Mount& out, const Context& context);
Result<> read_value(const nlohmann::json& value, SecurityOptions& out, const Context& context);
Result<> read_value(const nlohmann::json& value, HostAccess& out, const Context& context);
Result<> read_value(const nlohmann::json& value, RestartPolicy& out, const Context& context);
Result<> read_value(const nlohmann::json& value, HealthCheck& out, const Context& context);
Result<> read_value(const nlohmann::json& value, BoxSpec& out, const Context& context);
Result<> read_value(const nlohmann::json& value, ExecSpec& out, const Context& context);
Result<> read_value(const nlohmann::json& value, Usage& out, const Context& context);
Result<> read_value(const nlohmann::json& value, ExitInfo& out, const Context& context);
Result<> read_value(const nlohmann::json& value, StageTiming& out, const Context& context);

template <class T>
  requires std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, std::uint16_t>
Result<> read_value(const nlohmann::json& value, T& out, const Context& context) {
  std::int64_t number = 0;
  TRY(read_value(value, number, context));
  if (!std::in_range<T>(number)) return unexpected_value(context, "a smaller number");
  out = static_cast<T>(number);
  return {};
}

template <class E>
  requires std::is_enum_v<E>
Result<> read_value(const nlohmann::json& value, E& out, const Context& context) {
  std::string name;
  TRY(read_value(value, name, context));
  const std::optional<E> found = find_named<E>(name);
  if (!found)
    return unexpected_value(context, format("another word than {}", quote(name)),
                            suggest(name, all_names<E>(), "values"));
  out = *found;
  return {};
}

template <class T>
Result<> read_value(const nlohmann::json& value, std::optional<T>& out, const Context& context) {
  if (value.is_null()) return {};
  T present{};
  TRY(read_value(value, present, context));
  out = std::move(present);
  return {};
}

template <class T>
Result<> read_value(const nlohmann::json& value, std::vector<T>& out, const Context& context) {
  if (!value.is_array()) return unexpected_value(context, "an array");
  out.clear();
  for (std::size_t i = 0; i < value.size(); ++i) {
    T element{};
    TRY(read_value(value[i], element, context.element(i)));
    out.push_back(std::move(element));
  }
  return {};
}

/// Reads the fields of one object. The first fault is kept, and finish() returns it.
///
///     ObjectReader in(value, context);
///     in.field("pids", limits.pids);
///     return in.finish();
class ObjectReader final {
 public:
  ObjectReader(const nlohmann::json& object, const Context& context);

  template <class T>
  void field(std::string_view name, T& out) {
    if (const nlohmann::json* value = take(name))
      keep(read_value(*value, out, context_.field(name)));
  }
  /// The same for a field that must be there.
  template <class T>
  void required(std::string_view name, T& out) {
    field(name, out);
    if (!fault_ && !found_last_) keep(unexpected_value(context_.field(name), "a value"));
  }
  Result<> finish();

 private:
  const nlohmann::json* take(std::string_view name);
  void keep(Result<> result);

  const nlohmann::json& object_;
  const Context& context_;
  std::vector<std::string> known_;
  std::optional<Error> fault_;
  std::size_t found_ = 0;
  bool found_last_ = false;
};

template <class T>
void put(nlohmann::json& object, const char* name, const std::optional<T>& value) {
  if (!value) return;
  if constexpr (std::same_as<T, std::chrono::nanoseconds>) {
    object[name] = value->count();
  } else {
    object[name] = *value;
  }
}

/// The JSON of a string, and of a map's key, by the rules of json.h.
nlohmann::json encode_text(std::string_view text);
nlohmann::json encode_text_map(const std::map<std::string, std::string>& map);

}  // namespace caisson::spec
