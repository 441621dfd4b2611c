// The system-call filter of a box: chosen, compiled and cached.
#pragma once

#include <set>
#include <string>

#include "caisson/spec.h"
#include "spec/seccomp_policy.h"
#include "sys/seccomp.h"

namespace caisson::container {

/// The rules of a resolved policy. Several conditions on one argument are alternatives, as runc
/// reads them.
sys::SeccompRules seccomp_rules(const SeccompPolicy& resolved);

/// The program to install in a box with these capabilities ("CAP_SYS_CHROOT"); empty when the
/// box is unconfined. Errors: seccomp_policy_invalid, seccomp_policy_too_large.
Result<std::string> seccomp_program(const BoxSpec& spec, const std::set<std::string>& granted_caps,
                                    const std::string& cache_dir);

}  // namespace caisson::container
