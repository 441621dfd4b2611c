#include "sys/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> of Debian 12 clash; the calls are made by number, and the
// constants of mount(2) that are needed are repeated here.
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;
extern "C" int umount2(const char*, int) noexcept;

namespace caisson::sys {
namespace {

constexpr unsigned long kMsRec = 16384, kMsPrivate = 1 << 18;
constexpr int kMntDetach = 2;

/// The kernel writes an explanation of a failed fsconfig into the context.
std::string context_message(int context) {
  char buffer[512];
  const ssize_t n = ::read(context, buffer, sizeof buffer);
  if (n <= 2) return {};
  std::string text(buffer + 2, static_cast<std::size_t>(n) - 2);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Error mount_error(int err, int context, std::string_view action, std::string_view type) {
  Error error = errno_error(err, action, type);
  if (std::string text = context_message(context); !text.empty())
    error.message += format(" ({})", text);
  return error;
}

std::uint64_t attributes(MountFlags flags) {
  return (flags.read_only ? MOUNT_ATTR_RDONLY : 0u) | (flags.nosuid ? MOUNT_ATTR_NOSUID : 0u) |
         (flags.nodev ? MOUNT_ATTR_NODEV : 0u) | (flags.noexec ? MOUNT_ATTR_NOEXEC : 0u);
}

unsigned recursion(Below below) { return below == Below::kInclude ? AT_RECURSIVE : 0u; }

Result<> set_attr(int mount, const mount_attr& attr, Below below, std::string_view action,
                  std::string_view name) {
  if (::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | recursion(below), &attr,
                sizeof attr) < 0)
    return sys_error(action, name);
  return {};
}

}  // namespace

Result<Fd> make_mount(const std::string& type, const FsOptions& options, MountFlags flags) {
  Fd context(static_cast<int>(::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC)));
  if (!context) return sys_error("open file system", type);
  for (const auto& [key, value] : options) {
    const bool flag = value.empty();
    if (::syscall(SYS_fsconfig, context.get(), flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING,
                  key.c_str(), flag ? nullptr : value.c_str(), 0) < 0)
      return mount_error(errno, context.get(), format("set option {}={} of", key, value), type);
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return mount_error(errno, context.get(), "create file system", type);
  Fd mount(
      static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes(flags))));
  if (!mount) return mount_error(errno, context.get(), "mount file system", type);
  return mount;
}

Result<Fd> clone_mount(int fd, std::string_view name, Below below) {
  Fd tree(static_cast<int>(::syscall(SYS_open_tree, fd, "",
                                     AT_EMPTY_PATH | recursion(below) | OPEN_TREE_CLONE |
                                         static_cast<unsigned>(OPEN_TREE_CLOEXEC))));
  if (!tree) return sys_error("clone mount", name);
  return tree;
}

Result<> set_flags(int mount, MountFlags flags, std::string_view name, Below below) {
  mount_attr attr{};
  attr.attr_set = attributes(flags);
  return set_attr(mount, attr, below, "set flags of mount", name);
}

Result<> set_idmap(int mount, int userns, std::string_view name) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<std::uint64_t>(userns);
  return set_attr(mount, attr, Below::kInclude, "map ids of mount", name);
}

Result<> attach(int mount, int target, std::string_view name) {
  if (::syscall(SYS_move_mount, mount, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
    return sys_error("attach mount on", name);
  return {};
}

Result<> detach(const std::string& path) {
  if (::umount2(path.c_str(), kMntDetach) < 0) return sys_error("take mount off", path);
  return {};
}

Result<> make_private() {
  if (::mount(nullptr, "/", nullptr, kMsRec | kMsPrivate, nullptr) < 0)
    return sys_error("make mounts private below", "/");
  return {};
}

Result<> change_root(int root) {
  if (::fchdir(root) < 0) return sys_error("enter new root", "");
  // pivot_root(".", "."): the old root is stacked on the new one and detached, see pivot_root(2).
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return sys_error("pivot to new root", "");
  return {};
}

Result<> drop_old_root() {
  if (::umount2(".", kMntDetach) < 0) return sys_error("detach the old root", "");
  if (::chdir("/") < 0) return sys_error("enter directory", "/");
  return {};
}

}  // namespace caisson::sys
