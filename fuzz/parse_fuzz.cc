// Any text to every parser of the command line: no crash, one-line errors with a reason, and
// whatever parses is in the range that the parser promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "caisson/spec.h"
#include "spec/path.h"
#include "spec/signal.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
bool parsed(const caisson::Result<T>& result) {
  if (result) return true;
  require(!result.error().reason.empty());
  for (char c : result.error().message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  return false;
}

void check_validation(std::string_view text) {
  const std::string word(text);
  caisson::BoxSpec spec;
  spec.source = "host:";
  spec.command = {"true"};
  for (std::string caisson::BoxSpec::* field :
       {&caisson::BoxSpec::name, &caisson::BoxSpec::source, &caisson::BoxSpec::workdir,
        &caisson::BoxSpec::user, &caisson::BoxSpec::hostname, &caisson::BoxSpec::stop_signal}) {
    caisson::BoxSpec changed = spec;
    changed.*field = word;
    parsed(caisson::validate(changed));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  parsed(caisson::parse_size(text));
  const auto duration = caisson::parse_duration(text);
  if (parsed(duration)) require(duration->count() >= 0);
  const auto signal = caisson::parse_signal(text);
  if (parsed(signal))
    require(*caisson::parse_signal(caisson::spec::signal_name(*signal)) == *signal);
  parsed(caisson::parse_output_limit(text));
  const auto mount = caisson::parse_mount(text);
  if (parsed(mount)) require(caisson::spec::is_canonical(mount->target));
  const auto volume = caisson::parse_volume(text, "/base");
  if (parsed(volume))
    require(volume->type == caisson::MountType::kVolume ||
            caisson::spec::is_absolute(volume->source));
  const auto tmpfs = caisson::parse_tmpfs(text);
  if (parsed(tmpfs)) require(caisson::spec::is_absolute(tmpfs->target));
  parsed(caisson::parse_isolation(text));
  parsed(caisson::parse_profile(text));
  parsed(caisson::parse_network(text));
  const std::string near = caisson::did_you_mean(text, {"memory", "pids", "cpus"});
  require(near.empty() || size > 0);
  check_validation(text);
  return 0;
}
