#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "base/format.h"
#include "sys/cgroup_layout.h"

namespace caisson::sys {
namespace {

bool may_write(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
}

/// Making a group needs the directory; moving processes into it and giving it controllers need
/// the two files of its parent (cgroups(7), "Delegation").
bool may_delegate(const std::string& group) {
  return may_write(group) && may_write(group + "/cgroup.procs") &&
         may_write(group + "/cgroup.subtree_control");
}

void find_v1_base(CgroupHierarchy& h) {
  if (may_write(h.mount))
    h.base = h.mount;
  else
    h.unusable = format("cgroup v1 directory '{}' is writable by root only", h.mount);
}

/// The highest group on the way from the mount point to our own that is ours to divide.
void find_v2_base(CgroupHierarchy& h) {
  if (may_delegate(h.mount)) {
    h.base = h.mount;
    return;
  }
  const std::string own = h.own.value_or("");
  for (std::size_t end = 0; end < own.size();) {
    end = std::min(own.find('/', end + 1), own.size());
    std::string group = h.mount + own.substr(0, end);
    if (may_delegate(group)) {
      h.base = std::move(group);
      return;
    }
  }
  h.unusable =
      format("no cgroup from '{}' down to '{}{}' is delegated to this user", h.mount, h.mount, own);
}

}  // namespace

Result<CgroupLayout> detect_cgroups() {
  const std::string mountinfo = TRY(read_file("/proc/self/mountinfo"));
  const std::string self = TRY(read_file("/proc/self/cgroup"));
  std::string v2_controllers;
  if (auto mount = find_cgroup2_mount(mountinfo)) {
    // Unreadable means the mount is hidden or foreign: the same as offering no controllers.
    if (auto text = read_file(*mount + "/cgroup.controllers")) v2_controllers = std::move(*text);
  }
  CgroupLayout layout = parse_cgroup_layout(mountinfo, self, v2_controllers);
  for (CgroupHierarchy& h : layout.hierarchies) {
    if (h.read_only)
      h.unusable = format("the cgroup mount '{}' is read-only", h.mount);
    else if (h.version == 1)
      find_v1_base(h);
    else
      find_v2_base(h);
  }
  // /proc/swaps is one heading and a line per swap area; absent without CONFIG_SWAP.
  if (auto swaps = read_file("/proc/swaps"))
    layout.host_has_swap = std::count(swaps->begin(), swaps->end(), '\n') > 1;
  return layout;
}

}  // namespace caisson::sys
