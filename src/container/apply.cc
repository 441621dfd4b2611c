#include "container/apply.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sys/cgroup.h"

namespace caisson::container {

using sys::Below;

Result<> Apply::run(unsigned fail_at) {
  ::umask(0);
  unsigned number = 0;
  for (const Step& step : plan_.steps) {
    Result<> done = ++number == fail_at
                        ? Result<>(make_error(Code::kInternal, "fault_injected", "fault injected"))
                        : std::visit([this](const auto& s) { return take(s); }, step);
    if (!done) return with_context(done.error(), format("set up box: {}", describe(step)));
  }
  layers_.clear();
  sources_.clear();
  return {};
}

Result<> Apply::take(const JoinCgroups&) {
  if (const int err = sys::join_cgroups(cgroups_.data(), cgroups_.size()); err != 0)
    return errno_error(err, "join cgroups", "");
  if (::unshare(CLONE_NEWCGROUP) < 0) return sys_error("create cgroup namespace", "");
  return {};
}

/// What the host shows is taken before any of it is covered by what this box makes of it (the
/// root's directories, the box's own).
Result<> Apply::take(const PrivateMounts&) {
  TRY(sys::make_private());
  for (const Step& step : plan_.steps)
    if (const auto* bind = std::get_if<MountBind>(&step)) sources_.emplace(bind, source_of(*bind));
  return {};
}

/// Where something is mounted. The standard places may not be symbolic links of the image.
Result<Fd> Apply::mount_point(const std::string& target) const {
  Fd made = TRY(made_target(root_->make_path(target)));
  Result<Fd> plain = root_->open_no_symlinks(target, O_PATH | O_DIRECTORY);
  if (!plain && plain.error().sys_errno == ELOOP)
    return make_error(Code::kFailedPrecondition, "image_unsafe",
                      format("mount on '{}': the image has a symbolic link there", target));
  return plain;
}

Result<> Apply::take(const MountFs& step) {
  Fd target = TRY(mount_point(step.target));
  Result<Fd> mount = sys::make_mount(step.type, step.options, step.flags);
  if (!mount) {
    Error error = mount.error();
    if (error.sys_errno == EPERM && (step.type == "proc" || step.type == "sysfs"))
      error.hint = format(
          "the {} of the surrounding container is partly hidden; run Caisson on "
          "the host or with an unmasked /proc and /sys",
          step.type);
    return error;
  }
  return sys::attach(mount->get(), target.get(), step.target);
}

Result<> Apply::take(const DeviceNode& step) {
  Fd dev = TRY(root_->open_no_symlinks("/dev", O_PATH | O_DIRECTORY));
  const dev_t device = makedev(step.major, step.minor);
  if (!step.bind) {
    if (::mknodat(dev.get(), step.name.c_str(), S_IFCHR | 0666, device) < 0)
      return sys_error("create device", step.name);
    return {};
  }
  const std::string path = "/dev/" + step.name;
  Fd node = TRY(open_fd(path, O_PATH | O_NOFOLLOW));
  struct stat info{};
  if (::fstat(node.get(), &info) < 0) return sys_error("stat", path);
  if (!S_ISCHR(info.st_mode) || info.st_rdev != device)
    return make_error(
        Code::kFailedPrecondition, "host_device_unsafe",
        format("show host device '{}': it is not device {}:{}", path, step.major, step.minor));
  Fd tree = TRY(sys::clone_mount(node.get(), path));
  TRY(sys::set_flags(tree.get(), {.nodev = false, .noexec = true}, path));
  Fd target = TRY(root_->make_file(path));
  return sys::attach(tree.get(), target.get(), path);
}

Result<> Apply::take(const MakeSymlink& step) {
  Fd parent = TRY(root_->open_no_symlinks(sys::parent_of(step.path), O_PATH | O_DIRECTORY));
  const std::string name = step.path.substr(step.path.rfind('/') + 1);
  if (::symlinkat(step.text.c_str(), parent.get(), name.c_str()) < 0)
    return sys_error("create symlink", step.path);
  return {};
}

Result<> Apply::take(const MaskPath& step) {
  Result<Fd> target = root_->open_no_symlinks(step.path, O_PATH);
  if (!target) {
    if (target.error().sys_errno == ENOENT) return {};
    return target.error();
  }
  struct stat info{};
  if (::fstat(target->get(), &info) < 0) return sys_error("stat", step.path);
  const sys::MountFlags flags{.read_only = true, .noexec = true};
  if (S_ISDIR(info.st_mode)) {
    Fd empty = TRY(sys::make_mount("tmpfs", {{"size", "4096"}, {"nr_inodes", "2"}}, flags));
    return sys::attach(empty.get(), target->get(), step.path);
  }
  // The /dev is ours and nobody runs yet; its null is checked all the same (CVE-2025-31133).
  Fd null = TRY(root_->open_no_symlinks("/dev/null", O_PATH));
  if (::fstat(null.get(), &info) < 0) return sys_error("stat", "/dev/null");
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3))
    return make_error(Code::kFailedPrecondition, "image_unsafe",
                      "mask paths: '/dev/null' is not the null device");
  Fd tree = TRY(sys::clone_mount(null.get(), "/dev/null"));
  return sys::attach(tree.get(), target->get(), step.path);
}

Result<> Apply::take(const ReadOnlyPath& step) {
  Result<Fd> target = root_->open_no_symlinks(step.path, O_PATH);
  if (!target) {
    if (target.error().sys_errno == ENOENT) return {};
    return target.error();
  }
  Fd tree = TRY(sys::clone_mount(target->get(), step.path));
  TRY(sys::set_flags(tree.get(), {.read_only = true, .noexec = true}, step.path));
  return sys::attach(tree.get(), target->get(), step.path);
}

Result<> Apply::take(const SetHostname& step) {
  if (::sethostname(step.name.data(), step.name.size()) < 0)
    return sys_error("set hostname", step.name);
  return {};
}

Result<> Apply::take(const WriteSysctl& step) {
  // The host's /proc is still there; namespaced entries are those of the writing process.
  Result<Fd> file = open_fd("/proc/sys/" + step.name, O_WRONLY);
  if (!file) {
    if (file.error().sys_errno == ENOENT) return {};
    return file.error();
  }
  return write_all(file->get(), step.value, step.name);
}

Result<> Apply::take(const RaiseLoopback&) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return sys_error("create socket", "lo");
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return sys_error("bring up", "lo");
  return {};
}

Result<> Apply::take(const KeepWritable& step) {
  Fd place = TRY(made_target(root_->make_path(step.path)));
  // What an image calls a volume may be anything. The root itself is none, nor is a place on a
  // mount of ours: a copy of /proc would be one without its masks.
  struct statx root{}, there{};
  constexpr unsigned kWanted = STATX_INO | STATX_MNT_ID;
  if (::statx(root_->fd(), "", AT_EMPTY_PATH, kWanted, &root) < 0 ||
      ::statx(place.get(), "", AT_EMPTY_PATH, kWanted, &there) < 0)
    return sys_error("stat in box", step.path);
  if (there.stx_mnt_id != root.stx_mnt_id || there.stx_ino == root.stx_ino) return {};
  // With what the caller has mounted below it: a volume hides nothing.
  Fd tree = TRY(sys::clone_mount(place.get(), step.path, Below::kInclude));
  return sys::attach(tree.get(), place.get(), step.path);
}

Result<> Apply::take(const ChangeRoot& step) {
  TRY(sys::change_root(root_->fd()));
  if (step.read_only)
    return sys::set_flags(root_->fd(), {.read_only = true, .nosuid = false}, "/", Below::kExclude);
  return {};
}

}  // namespace caisson::container
