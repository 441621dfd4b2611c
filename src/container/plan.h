// The plan of a container: spec + host facts → typed steps. Pure; printed by `caisson debug plan`.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "caisson/spec.h"
#include "container/protect.h"
#include "spec/rootfs.h"
#include "sys/capabilities.h"
#include "sys/mount.h"
#include "sys/userns.h"

namespace caisson::container {

/// What the plan needs to know of the host. Gathered by `gather_facts`, or written by a test.
struct Facts {
  bool root = false;  ///< we have root's privileges on the host
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<sys::IdRange> subuids, subgids;  ///< of an ordinary user
  bool unified_cgroup = false;                 ///< memory and pids are on cgroup v2
  bool exposed_program = false;                ///< ids of a box may have a right to change it
  /// The kernel is the box's alone: its ids are the kernel's own, and no mount is mapped.
  bool own_kernel = false;
  /// Of an ordinary user: the box's user, and that it is to have the caller's ids because a bind
  /// belongs to the caller.
  std::uint32_t user_uid = 0, user_gid = 0;
  bool swap_ids = false;
  std::vector<Protection> protections;
  std::vector<std::string> protected_in_root;
  friend bool operator==(const Facts&, const Facts&) = default;
};

/// Which ids the box has. Inside, `first_inside .. first_inside + count` are `first ..` of the
/// namespace that the shim is in; but for the root and one user, who may be swapped.
struct Ids {
  std::uint32_t first = 0;
  std::uint32_t first_inside = 0;
  std::uint32_t count = sys::kIdsPerBox;
  std::uint32_t swapped_uid = 0, swapped_gid = 0;  ///< 0: nobody
  std::uint32_t uid_outside(std::uint32_t uid) const { return outside(uid, swapped_uid); }
  std::uint32_t gid_outside(std::uint32_t gid) const { return outside(gid, swapped_gid); }
  /// Of the box's root.
  std::uint32_t root_uid() const { return uid_outside(first_inside); }
  std::uint32_t root_gid() const { return gid_outside(first_inside); }
  friend bool operator==(const Ids&, const Ids&) = default;

 private:
  std::uint32_t outside(std::uint32_t id, std::uint32_t swapped) const {
    if (swapped != 0 && (id == 0 || id == swapped)) id = swapped - id;
    return first + id - first_inside;
  }
};

// Steps, in the order in which the box's first process takes them.
struct JoinCgroups {};
struct PrivateMounts {};
struct MountRoot {  ///< an overlay; `upper` and `work` are directories in `data`
  std::vector<std::string> lowers;
  std::string lower_parent;  ///< as in Rootfs
  std::string data, upper;
  bool map_ids = false;
};
struct MountMerged {  ///< the box's own copy of an image, `name` in `data`
  std::string data, name;
  bool map_ids = false;
};
struct MountBind {
  std::string source, target;
  sys::MountFlags flags;
  bool map_ids = false;
  /// Of what the caller mounts for writing: its owner's files are to be the box's user's.
  IdMapping to_user = IdMapping::kOff;
  bool asked = false;  ///< by the caller
  bool alone = false;  ///< without what is mounted below it
};
struct MountFs {
  std::string type, target;
  sys::FsOptions options;
  sys::MountFlags flags;
};
struct DeviceNode {  ///< in /dev; made as root, bound from the host otherwise
  std::string name;
  unsigned major = 0, minor = 0;
  bool bind = false;
};
struct MakeSymlink {
  std::string text, path;
};
struct MaskPath {  ///< hidden behind /dev/null or an empty directory; absent is fine
  std::string path;
};
struct ReadOnlyPath {
  std::string path;
};
struct SetHostname {
  std::string name;
};
struct WriteSysctl {  ///< a namespaced one, below /proc/sys
  std::string name, value;
};
struct RaiseLoopback {};
struct ProtectPath {
  Protection what;
};
struct ProtectInRoot {  ///< made when it is not there
  std::string path;
};
struct KeepWritable {  ///< a directory that does not become read-only with the root
  std::string path;
};
struct ChangeRoot {
  bool read_only = false;
};
using Step = std::variant<JoinCgroups, PrivateMounts, MountRoot, MountMerged, MountBind, MountFs,
                          DeviceNode, MakeSymlink, MaskPath, ReadOnlyPath, SetHostname, WriteSysctl,
                          RaiseLoopback, ProtectPath, ProtectInRoot, KeepWritable, ChangeRoot>;

struct Plan {
  Facts facts;
  Ids ids;
  bool network_namespace = true;
  std::vector<Step> steps;
  std::string user;                 ///< as the spec names it
  std::vector<std::string> groups;  ///< likewise
  sys::CapMask capabilities = 0;    ///< of root in the box
  bool no_new_privileges = true;
  std::vector<std::string> warnings;
};

/// `data` is the box's directory (with upper/ and work/), `first_id` the claimed range's start.
Result<Plan> make_plan(const BoxSpec& spec, const Rootfs& rootfs, const Facts& facts,
                       const std::string& data, std::uint32_t first_id);

/// One line for people, without newline.
std::string describe(const Step& step);
std::string describe(const Plan& plan);

/// The capabilities of root in the box.
sys::CapMask capabilities_of(const BoxSpec& spec);

}  // namespace caisson::container
