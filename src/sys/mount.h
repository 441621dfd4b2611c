// Mounts by descriptor: fsopen(2), open_tree(2), mount_setattr(2), move_mount(2).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace caisson::sys {

/// Bits of mount_setattr(2), independent of the header that defines them.
struct MountFlags {
  bool read_only = false;
  bool nosuid = true;
  bool nodev = true;
  bool noexec = false;
  friend bool operator==(const MountFlags&, const MountFlags&) = default;
};

using FsOptions = std::vector<std::pair<std::string, std::string>>;

/// A detached mount of a new instance of file system `type`.
Result<Fd> make_mount(const std::string& type, const FsOptions& options, MountFlags flags);
/// A detached overlay. `lowers`: paths of the lower directories, topmost first, at most 500 (the
/// kernel's OVL_MAX_STACK). Before Linux 6.7, which has no `lowerdir+`, more than some 12 of them
/// go through mount(2), whose page of options holds some 220; `place`, a directory of this mount
/// namespace, is where that mount is made for a moment. `too_many_layers` when they do not fit.
Result<Fd> make_overlay(const std::vector<std::string>& lowers, const FsOptions& options,
                        MountFlags flags, int place);
/// The way of older kernels alone; for the test of it.
Result<Fd> make_overlay_by_page(const std::vector<std::string>& lowers, const FsOptions& options,
                                MountFlags flags, int place);
/// Whether an operation includes the mounts below the one it names.
enum class Below { kExclude, kInclude };
/// A detached copy of the mount at `fd` (a directory or file opened with O_PATH).
Result<Fd> clone_mount(int fd, std::string_view name, Below below = Below::kInclude);
/// Sets flags on a detached or attached mount.
Result<> set_flags(int mount, MountFlags flags, std::string_view name,
                   Below below = Below::kInclude);
/// Makes a detached mount show ids through the mapping of user namespace `userns`.
Result<> set_idmap(int mount, int userns, std::string_view name);
/// Attaches a detached mount on `target` (an O_PATH descriptor).
Result<> attach(int mount, int target, std::string_view name);

/// Takes the topmost mount off a path, lazily.
Result<> detach(const std::string& path);

/// Makes every mount of this namespace private, so that nothing propagates either way.
Result<> make_private();
/// Makes `root` (a mounted directory) the root of this mount namespace. The old root stays
/// reachable through the working directory until `drop_old_root`.
Result<> change_root(int root);
Result<> drop_old_root();

}  // namespace caisson::sys
