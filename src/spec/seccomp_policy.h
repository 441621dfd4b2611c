// SeccompPolicy: a system-call policy in Docker's JSON format, as a value. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/seccomp.h"
#include "caisson/result.h"

namespace caisson {

struct KernelVersion {
  unsigned kernel = 0, major = 0;
  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};

/// The leading "MAJOR.MINOR" of uname(2)'s release, e.g. "6.1.0-32-amd64"; absent for other text.
std::optional<KernelVersion> parse_kernel_release(std::string_view release);

/// When a rule counts. `includes` needs all of it, `excludes` any of it.
struct SeccompPolicyFilter {
  std::vector<std::string> caps;
  std::vector<std::string> arches;  ///< Go's names: "amd64", "arm64"
  std::optional<KernelVersion> min_kernel;
  friend bool operator==(const SeccompPolicyFilter&, const SeccompPolicyFilter&) = default;
};

struct SeccompPolicyRule {
  std::vector<std::string> names;
  SeccompDecision decision;
  std::vector<SeccompCondition> conditions;
  SeccompPolicyFilter includes, excludes;
  friend bool operator==(const SeccompPolicyRule&, const SeccompPolicyRule&) = default;
};

struct SeccompPolicyArchitecture {
  std::string architecture;  ///< "SCMP_ARCH_X86_64"
  std::vector<std::string> sub_architectures;
  friend bool operator==(const SeccompPolicyArchitecture&,
                         const SeccompPolicyArchitecture&) = default;
};

struct SeccompPolicy {
  SeccompDecision default_decision;
  std::vector<std::string> architectures;
  std::vector<SeccompPolicyArchitecture> arch_map;
  std::vector<SeccompPolicyRule> rules;
  friend bool operator==(const SeccompPolicy&, const SeccompPolicy&) = default;
};

/// What `includes` and `excludes` are judged against.
struct SeccompPolicyContext {
  std::set<std::string> capabilities;  ///< granted, e.g. "CAP_SYS_CHROOT"
  KernelVersion kernel;
  std::string arch = "amd64";
};

/// Reads Docker's format (docs/seccomp.md). Unknown fields are ignored, as Docker does; unknown
/// actions and operators are errors with the reason `seccomp_policy_invalid`.
Result<SeccompPolicy> parse_seccomp_policy(std::string_view json);

/// The policy of one box: only the rules that count, their filters empty, and `arch_map` turned
/// into `architectures`.
SeccompPolicy resolve(const SeccompPolicy& policy, const SeccompPolicyContext& context);

}  // namespace caisson
