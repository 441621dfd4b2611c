// Any text: reading YAML never crashes or throws, its errors are one line, and what is JSON means
// the same as YAML.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "caisson/spec.h"
#include "spec/json.h"
#include "spec/yaml.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
void check_error(const caisson::Result<T>& result) {
  if (result) return;
  require(!result.error().reason.empty() && !result.error().message.empty());
  require(result.error().message.find('\n') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = caisson::spec::parse_yaml(text);
  check_error(value);
  if (!value) require(value.error().reason == "yaml_invalid");
  if (const auto json = caisson::spec::parse_json(text)) require(value && *value == *json);
  const auto spec = caisson::box_spec_from_yaml(text);
  check_error(spec);
  if (!spec) return 0;
  const auto again = caisson::box_spec_from_yaml(caisson::to_json(*spec));
  // A processor count that is no number is for validate() to refuse; JSON cannot hold it.
  const bool finite = !spec->limits.cpus || *spec->limits.cpus - *spec->limits.cpus == 0;
  require(!finite || (again && *again == *spec));
  check_error(caisson::validate(*spec));
  return 0;
}
