// The system-call filter of a box: chosen, compiled and cached.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "caisson/spec.h"
#include "spec/seccomp_policy.h"
#include "sys/seccomp.h"

namespace caisson::init {

/// The rules of a resolved policy. Several conditions on one argument are alternatives, as runc
/// reads them.
sys::SeccompRules seccomp_rules(const SeccompPolicy& resolved);

/// What a filter must forbid besides where the host's namespaces are the box's: whatever reaches
/// processes, sockets and shared memory of others by their numbers and names.
struct SharedHost {
  bool internet = false;         ///< the host's network may be used
  bool tcp = false;              ///< TCP sockets are there; Landlock decides on ports
  bool listens = false;          ///< there are ports to bind
  bool forbid_truncate = false;  ///< Landlock does not know truncate(2) yet
  friend bool operator==(const SharedHost&, const SharedHost&) = default;
};

/// The program to install in a box with these capabilities ("CAP_SYS_CHROOT"); empty when the
/// box is unconfined. Errors: seccomp_policy_invalid, seccomp_policy_too_large.
Result<std::string> seccomp_program(const BoxSpec& spec, const std::set<std::string>& granted_caps,
                                    const std::string& cache_dir,
                                    const std::optional<SharedHost>& shared = {});

}  // namespace caisson::init
