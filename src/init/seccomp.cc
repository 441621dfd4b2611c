#include "init/seccomp.h"

#include <sys/utsname.h>

#include <algorithm>

#include "base/error.h"
#include "init/seccomp_cache.h"
#include "init/seccomp_default.h"

namespace caisson::init {
namespace {

bool compares_one_argument_twice(const SeccompPolicyRule& rule) {
  unsigned seen = 0;
  for (const SeccompCondition& condition : rule.conditions) {
    if ((seen >> condition.argument & 1u) != 0) return true;
    seen |= 1u << condition.argument;
  }
  return false;
}

void add_rules(const SeccompPolicyRule& rule, std::vector<sys::SeccompRule>& out) {
  const bool alternatives = compares_one_argument_twice(rule);
  for (const std::string& name : rule.names) {
    if (!alternatives) out.push_back({name, rule.decision, rule.conditions});
    for (std::size_t i = 0; alternatives && i < rule.conditions.size(); ++i)
      out.push_back({name, rule.decision, {rule.conditions[i]}});
  }
}

Result<SeccompPolicyContext> policy_context(const std::set<std::string>& granted_caps) {
  utsname names;
  if (::uname(&names) < 0) return sys_error("read kernel version", "");
  const auto kernel = parse_kernel_release(names.release);
  if (!kernel)
    return make_error(Code::kInternal, "kernel_version_unknown",
                      format("read kernel version '{}': not KERNEL.MAJOR", names.release));
  return SeccompPolicyContext{granted_caps, *kernel, "amd64"};
}

/// Everything a compiled custom policy depends on: its text and what its filters look at.
std::string custom_key(const std::string& policy, const SeccompPolicyContext& context) {
  std::string key = format("custom {} {}.{}", CAISSON_SECCOMP_DIGEST, context.kernel.kernel,
                           context.kernel.major);
  for (const std::string& cap : context.capabilities) key.append(" ").append(cap);
  return key.append("\n").append(policy);
}

Result<std::string> custom_program(const std::string& policy,
                                   const std::set<std::string>& granted_caps,
                                   const std::string& cache_dir) {
  const SeccompPolicyContext context = TRY(policy_context(granted_caps));
  return compiled_policy(cache_dir, custom_key(policy, context), [&]() -> Result<std::string> {
    const SeccompPolicy parsed = TRY(parse_seccomp_policy(policy));
    return sys::compile_seccomp(seccomp_rules(resolve(parsed, context)));
  });
}

}  // namespace

sys::SeccompRules seccomp_rules(const SeccompPolicy& resolved) {
  const auto allows = [&](std::string_view architecture) {
    return std::find(resolved.architectures.begin(), resolved.architectures.end(), architecture) !=
           resolved.architectures.end();
  };
  sys::SeccompRules rules;
  rules.default_decision = resolved.default_decision;
  rules.allow_i386 = allows("SCMP_ARCH_X86");
  rules.allow_x32 = allows("SCMP_ARCH_X32");
  for (const SeccompPolicyRule& rule : resolved.rules) add_rules(rule, rules.rules);
  return rules;
}

Result<std::string> seccomp_program(const BoxSpec& spec, const std::set<std::string>& granted_caps,
                                    const std::string& cache_dir,
                                    const std::optional<SharedHost>& shared) {
  switch (spec.security.seccomp) {
    case SeccompMode::kUnconfined:
      return std::string();
    case SeccompMode::kCustom:
      return custom_program(spec.security.seccomp_policy, granted_caps, cache_dir);
    case SeccompMode::kProfile:
      break;
  }
  std::string key = builtin_seccomp_key(spec.profile, granted_caps);
  if (shared)
    key += format(" shared {} {} {} {}", shared->internet, shared->tcp, shared->listens,
                  shared->forbid_truncate);
  return compiled_policy(cache_dir, key, [&] {
    sys::SeccompTable table = builtin_seccomp_table(spec.profile, granted_caps);
    if (shared) restrict_to_own(table, *shared);
    return sys::compile_seccomp_table(table);
  });
}

}  // namespace caisson::init
