// Any text: decoding never crashes or throws, and what decodes survives the way there and back.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/state_json.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// The bytes themselves as strings of a spec: JSON must carry all of them.
void carry_bytes(std::string_view text) {
  caisson::BoxSpec spec;
  spec.command = {std::string(text)};
  spec.env[std::string(text.substr(0, text.size() / 2))] = text.substr(text.size() / 2);
  const auto back = caisson::box_spec_from_json(caisson::to_json(spec));
  require(back.has_value() && *back == spec);
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
  const auto spec = caisson::box_spec_from_json(text);
  check_error(spec);
  if (spec) {
    const auto again = caisson::box_spec_from_json(caisson::to_json(*spec));
    require(again.has_value() && *again == *spec);
    check_error(caisson::validate(*spec));
  }
  const auto info = caisson::spec::exit_info_from_json(text);
  check_error(info);
  if (info) {
    const auto again = caisson::spec::exit_info_from_json(caisson::to_json(*info));
    require(again.has_value() && *again == *info);
    caisson::shell_status(*info);
  }
  check_error(caisson::spec::exec_spec_from_json(text));
  check_error(caisson::spec::stages_from_json(text));
  check_error(caisson::spec::usage_from_json(text));
  check_error(caisson::spec::texts_from_json(text));
  carry_bytes(text);
  return 0;
}
