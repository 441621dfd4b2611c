// The steps that make the root: layers, upper directory, overlay; or the box's own copy.
#include <fcntl.h>
#include <sys/fsuid.h>

#include <algorithm>

#include "container/apply.h"

namespace caisson::container {

using sys::Below;

/// The path was without links when the box was made. Another box or user that can write to a part
/// of it may have put one there since, which would show this box whatever it leads to.
Result<Fd> Apply::open_source(const std::string& path, std::string_view what) {
  Result<Fd> source = sys::open_real(path, O_PATH);
  if (source || source.error().sys_errno != ELOOP) return source;
  return make_error(Code::kFailedPrecondition,
                    what == "image" ? "image_unsafe" : "mount_source_unsafe",
                    format("open {} '{}': it has become a symbolic link", what, path),
                    "a box is shown the path as it was when the box was made; make it anew");
}

/// New files in the box's tree belong to the box's root. The overlay must be made so too: its
/// mounter acts on the upper directory, and the host's root is not mapped there.
Result<> Apply::become_box_root() const {
  return become(plan_.ids.root_uid(), plan_.ids.root_gid());
}

Result<> Apply::become(uid_t uid, gid_t gid) {
  ::setfsgid(gid);
  ::setfsuid(uid);
  // A change from fsuid 0 takes the file capabilities out of the effective set, capabilities(7).
  if (const int err = sys::raise_effective(); err != 0)
    return errno_error(err, "raise capabilities", "");
  return {};
}

/// A path through which overlayfs reaches the directory, with ids mapped. The mapped copy is
/// attached over its origin (in this namespace only), because kernels before 6.15 do not take
/// layers from detached mounts.
Result<std::string> Apply::layer(Fd directory, const std::string& path, bool map_ids) {
  if (map_ids) {
    Fd copy = TRY(sys::clone_mount(directory.get(), path, Below::kExclude));
    TRY(sys::set_idmap(copy.get(), userns_, path));
    TRY(sys::attach(copy.get(), directory.get(), path));
    directory = std::move(copy);
  }
  layers_.push_back(std::move(directory));
  return format("/proc/self/fd/{}", layers_.back().get());
}

/// Paths of the lower directories, topmost first. One mapped mount shows all that are in the
/// parent, so that the cost does not grow with their number.
Result<std::vector<std::string>> Apply::lower_paths(const MountRoot& step) {
  const auto plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
  std::vector<std::string> paths;
  std::string parent;
  for (const std::string& lower : step.lowers) {
    if (lower.starts_with('/')) {
      paths.push_back(TRY(layer(TRY(open_source(lower, "image")), lower, step.map_ids)));
      continue;
    }
    if (lower.empty() || !std::ranges::all_of(lower, plain))
      return make_error(Code::kInternal, "protocol_error",
                        format("mount root: '{}' is no layer", lower));
    if (parent.empty())
      parent =
          TRY(layer(TRY(open_source(step.lower_parent, "image")), step.lower_parent, step.map_ids));
    paths.push_back(parent + "/" + lower);
  }
  return paths;
}

Result<> Apply::take(const MountRoot& step) {
  const std::vector<std::string> lowers = TRY(lower_paths(step));
  // Taken before the data directory is covered by its mapped copy: the root is attached here.
  Fd place = TRY(open_fd(step.data, O_PATH | O_DIRECTORY));
  const std::string data =
      TRY(layer(TRY(open_fd(step.data, O_PATH | O_DIRECTORY)), step.data, step.map_ids));
  TRY(become_box_root());
  // volatile: without it, every end of a box would sync the whole file system below. userxattr:
  // what overlayfs keeps in a layer may then be written by whom unpacks it
  // (docs/formats/images.md).
  Result<Fd> overlay = sys::make_overlay(lowers,
                                         {{"upperdir", data + "/" + step.upper},
                                          {"workdir", data + "/work"},
                                          {"volatile", ""},
                                          {"userxattr", ""}},
                                         {.nosuid = false, .nodev = true}, place.get());
  if (!overlay) {
    Error error = overlay.error();
    error.reason = error.sys_errno == ENOSPC ? "disk_full" : "overlay_unavailable";
    if (error.sys_errno == ENOENT) error.reason = "image_damaged";
    error.hint =
        error.sys_errno == ENOENT
            ? "a layer is missing: caisson image fsck"
            : "the home directory must be on a file system that can hold an overlay's upper "
              "directory (not an overlay itself, nor NFS); an image needs no overlay with "
              "--rootfs merged";
    return error;
  }
  TRY(sys::attach(overlay->get(), place.get(), step.data));
  root_.emplace(std::move(*overlay));
  return {};
}

Result<> Apply::take(const MountMerged& step) {
  const std::string path = step.data + "/" + step.name;
  Fd place = TRY(open_fd(step.data, O_PATH | O_DIRECTORY));
  Fd tree = TRY(sys::clone_mount(TRY(sys::open_real(path, O_PATH | O_DIRECTORY)).get(), path,
                                 Below::kExclude));
  TRY(sys::set_flags(tree.get(), {.nosuid = false, .nodev = true}, path));
  if (step.map_ids) TRY(sys::set_idmap(tree.get(), userns_, path));
  TRY(become_box_root());
  TRY(sys::attach(tree.get(), place.get(), step.data));
  root_.emplace(std::move(tree));
  return {};
}

}  // namespace caisson::container
