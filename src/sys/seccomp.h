// System-call filters: from plain rules to the kernel's program, and its installation.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/seccomp.h"
#include "caisson/result.h"

namespace caisson::sys {

/// A rule holds when all of its conditions do; each argument may be compared once.
struct SeccompRule {
  std::string name;
  SeccompDecision decision;
  std::vector<SeccompCondition> conditions;
  friend bool operator==(const SeccompRule&, const SeccompRule&) = default;
};

/// The order of rules means nothing: rules of one call must not overlap.
struct SeccompRules {
  SeccompDecision default_decision;
  std::vector<SeccompRule> rules;
  bool allow_i386 = false;  ///< judge 32-bit calls by the rules, instead of killing the caller
  bool allow_x32 = false;
  friend bool operator==(const SeccompRules&, const SeccompRules&) = default;
};

/// The number of an x86-64 system call, or -1. Knows calls that are newer than libseccomp.
int syscall_number(std::string_view name);
/// The name of an x86-64 system call, or empty.
std::string syscall_name(int number);

/// The program as the bytes of an array of `struct sock_filter`. Names that no kernel has are
/// skipped. Calls of an architecture that was not allowed kill the process.
Result<std::string> compile_seccomp(const SeccompRules& rules);

/// Installs a compiled program for this thread; 0 or errno. Async-signal-safe. The caller has
/// set no_new_privs or holds CAP_SYS_ADMIN in its user namespace.
int install_seccomp(const void* program, std::size_t instructions) noexcept;

/// The same, and the descriptor that hears of SeccompAction::kNotify; or -errno.
int install_seccomp_listener(const void* program, std::size_t instructions) noexcept;

}  // namespace caisson::sys
