// Any bytes as a policy: parsed or refused with an error of one line, never more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/seccomp_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const caisson::Result<caisson::SeccompPolicy> policy = caisson::parse_seccomp_policy(text);
  if (!policy) {
    if (policy.error().reason != "seccomp_policy_invalid") std::abort();
    if (policy.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const caisson::SeccompPolicy one = caisson::resolve(*policy, {{"CAP_CHOWN"}, {6, 1}, "amd64"});
  // Resolving is final: what counted once has no conditions left.
  caisson::SeccompPolicy again = caisson::resolve(one, {});
  if (again != one) std::abort();
  return 0;
}
