// Caisson's own system-call policy: reviewed data, a reason for each group. docs/seccomp.md.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/spec.h"
#include "init/seccomp.h"
#include "sys/seccomp_table.h"

namespace caisson::init {

enum class SeccompVerdict : char {
  kAllow,
  kDeny,    ///< EPERM: the kernel has the call, the box may not use it
  kAbsent,  ///< ENOSYS: as on a kernel without the call, so that programs take their fallback
};

struct SeccompGroup {
  SeccompVerdict minimal, standard, full;
  std::string_view capability;  ///< when given, the group is denied to a box without it
  std::string_view reason;
  std::string_view names;  ///< separated by single spaces
};

std::span<const SeccompGroup> seccomp_groups();

/// The calls that are decided by their arguments: clone, socket, socketpair, ioctl, personality.
std::vector<sys::SeccompCall> seccomp_argument_calls(Profile profile);

/// The whole policy of a profile for a box with these capabilities. Calls that it does not know
/// are absent.
sys::SeccompTable builtin_seccomp_table(Profile profile, const std::set<std::string>& granted_caps);

/// Takes from such a policy what a box that shares the host's namespaces may not have.
void restrict_to_own(sys::SeccompTable& table, const SharedHost& shared);

/// What identifies that policy, cheaply: changes whenever its source or the compiler does.
std::string builtin_seccomp_key(Profile profile, const std::set<std::string>& granted_caps);

}  // namespace caisson::init
