// What the host shows to the box, whose its files are there, and what of it stays as it is.
#include <fcntl.h>

#include <algorithm>

#include "container/apply.h"
#include "sys/filesystem.h"
#include "sys/idmap.h"

namespace caisson::container {

Result<Fd> Apply::made_target(Result<Fd> target) {
  if (target || target.error().reason != "system_call_failed") return target;
  Error error = std::move(target).error();
  error.reason = "mount_target_unusable";
  return error;
}

Result<const init::User*> Apply::box_user() {
  if (!user_) user_ = TRY(init::resolve_user(plan_.user, plan_.groups, *root_));
  return &*user_;
}

/// Kernel and file system decide; what they cannot is a warning, or the error that was asked for.
Result<> Apply::keep_ids(const MountBind& step, int source, const Error& cause) {
  const int err = cause.sys_errno;
  if (err != EINVAL && err != EPERM && err != EOPNOTSUPP && err != ENOSYS) return cause;
  const std::string name = TRY(sys::filesystem_of(source)).name;
  if (step.to_user == IdMapping::kRequire)
    return make_error(
        Code::kFailedPrecondition, "idmap_unavailable",
        format("map ids of '{}': {} does not support id-mapped mounts here", step.source, name),
        "idmap=auto mounts it with its own ids");
  warnings_.push_back(
      format("'{}' is shown with the host's ids: {} does not support id-mapped mounts", step.source,
             name));
  return {};
}

/// The box's ids are a range of their own, so every mount is mapped; where the owner is not the
/// box's user, by a map that swaps the two before it goes into the range. What can be written and
/// does not belong to the host's root has no id that means root: a set-id program or a file
/// capability made there would be the host's.
Result<> Apply::map_ids(int tree, const MountBind& step, const struct stat& info) {
  if (!step.asked || step.flags.read_only) return sys::set_idmap(tree, userns_, step.source);
  const Ids& ids = plan_.ids;
  const std::vector<sys::IdRange> range = {{ids.first_inside, ids.first, ids.count}};
  const auto lines = [&](std::uint32_t owner, std::uint32_t user) {
    const std::vector<sys::IdRange> all =
        sys::compose(sys::swap_map(owner, user, ids.count), range);
    return owner == 0 ? all : sys::without(all, 0);
  };
  init::User user{info.st_uid, info.st_gid, {}, {}};
  if (step.to_user != IdMapping::kOff) user = *TRY(box_user());
  const Fd map =
      TRY(sys::make_user_namespace({lines(info.st_uid, user.uid), lines(info.st_gid, user.gid)}));
  return sys::set_idmap(tree, map.get(), step.source);
}

Result<Apply::Source> Apply::source_of(const MountBind& step) {
  Source source{TRY(open_source(step.source, "bind source")), {}};
  source.tree = TRY(sys::clone_mount(source.place.get(), step.source,
                                     step.alone ? sys::Below::kExclude : sys::Below::kInclude));
  return source;
}

Result<> Apply::take(const MountBind& step) {
  const Result<Source>& taken = sources_.at(&step);
  if (!taken) return taken.error();
  const auto& [source, tree] = *taken;
  struct stat info{};
  if (::fstat(source.get(), &info) < 0) return sys_error("stat", step.source);
  if (step.asked && !step.flags.read_only && TRY(sys::filesystem_of(source.get())).read_only)
    return make_error(
        Code::kFailedPrecondition, "mount_source_read_only",
        format("mount '{}' for writing: it is on a read-only file system", step.source),
        "mount it read-only (:ro)");
  TRY(sys::set_flags(tree.get(), step.flags, step.source));
  if (step.map_ids)
    if (Result<> mapped = map_ids(tree.get(), step, info); !mapped)
      TRY(keep_ids(step, source.get(), mapped.error()));
  const auto make = [&] {
    return made_target(S_ISDIR(info.st_mode) ? root_->make_path(step.target)
                                             : root_->make_file(step.target));
  };
  Result<Fd> target = make();
  // In another bind, whose owner is not root, only the box's user can make something.
  if (!target && target.error().sys_errno == EOVERFLOW) {
    const init::User& user = *TRY(box_user());
    TRY(become(plan_.ids.uid_outside(user.uid), plan_.ids.gid_outside(user.gid)));
    target = make();
    TRY(become_box_root());
  }
  if (!target) return target.error();
  return sys::attach(tree.get(), target->get(), step.target);
}

/// A mount point cannot be renamed or removed by whom is in its mount namespace.
Result<> Apply::pin(const std::string& path) {
  if (!pinned_.insert(path).second) return {};
  Fd place = TRY(root_->open_no_symlinks(path, O_PATH));
  Fd tree = TRY(sys::clone_mount(place.get(), path));
  return sys::attach(tree.get(), place.get(), path);
}

Result<> Apply::make_read_only(const std::string& path) {
  Fd place = TRY(root_->open_no_symlinks(path, O_PATH));
  Fd tree = TRY(sys::clone_mount(place.get(), path));
  TRY(sys::set_flags(tree.get(), {.read_only = true}, path));
  return sys::attach(tree.get(), place.get(), path);
}

/// Shows nothing in place of a placeholder: what it is made of stays out of the box's reach.
Result<> Apply::cover(const std::string& path) {
  Fd place = TRY(root_->open_no_symlinks(path, O_PATH));
  struct stat info{};
  if (::fstat(place.get(), &info) < 0) return sys_error("stat", path);
  Fd empty = TRY(sys::make_mount("tmpfs",
                                 {{"size", "4096"},
                                  {"nr_inodes", "3"},
                                  {"mode", "555"},
                                  {"uid", std::to_string(plan_.ids.root_uid())},
                                  {"gid", std::to_string(plan_.ids.root_gid())}},
                                 {.noexec = true}));
  if (!S_ISDIR(info.st_mode)) {
    TRY(open_at(empty.get(), "empty", O_WRONLY | O_CREAT | O_EXCL, 0444));
    const Fd file = TRY(open_at(empty.get(), "empty", O_PATH));
    empty = TRY(sys::clone_mount(file.get(), path));
  }
  TRY(sys::set_flags(empty.get(), {.read_only = true, .noexec = true}, path));
  return sys::attach(empty.get(), place.get(), path);
}

Result<> Apply::take(const ProtectPath& step) {
  for (const std::string& above : step.what.pinned) TRY(pin(above));
  return step.what.placeholder ? cover(step.what.path) : make_read_only(step.what.path);
}

Result<> Apply::take(const ProtectInRoot& step) {
  const bool directory = step.path.ends_with('/');
  const std::string path = step.path.substr(0, step.path.size() - (directory ? 1 : 0));
  Result<Fd> there = root_->open_no_symlinks(path, O_PATH);
  if (!there && there.error().sys_errno == ENOENT)
    there = made_target(directory ? root_->make_path(path) : root_->make_file(path));
  if (!there && there.error().sys_errno == ELOOP)
    return make_error(Code::kFailedPrecondition, "protect_unsafe",
                      format("protect '{}': there is a symbolic link in it", path),
                      "protect what it leads to");
  if (!there) return there.error();
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    TRY(pin(path.substr(0, at)));
  return make_read_only(path);
}

}  // namespace caisson::container
