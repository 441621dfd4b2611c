#include "sys/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>

#include "base/fd.h"
#include "base/scope_exit.h"

namespace caisson::sys {
namespace {

/// True when `name` is gone; false when it is a directory with entries.
Result<bool> remove_entry(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) return sys_error("remove", name);
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("remove", name);
  return false;
}

Result<> remove_empty(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return sys_error("remove", name);
}

/// Which mount something is on: the same directory can be mounted in two places of one file system.
struct Mount {
  std::uint32_t major = 0, minor = 0;
  std::uint64_t id = 0;  ///< 0 before Linux 5.8
  friend bool operator==(const Mount&, const Mount&) = default;
};

Result<Mount> mount_of(int parent, const std::string& name) {
  struct statx info{};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(parent, name.c_str(), flags, STATX_MNT_ID, &info) < 0) return sys_error("stat", name);
  return Mount{info.stx_dev_major, info.stx_dev_minor,
               (info.stx_mask & STATX_MNT_ID) != 0 ? info.stx_mnt_id : 0};
}

/// Two processes may remove the same tree at once: what the other one took is removed.
Result<> unless_gone(const Error& error) {
  if (error.sys_errno == ENOENT) return {};
  return error;
}

/// Deletes what is below one directory. A box chooses how deep its trees are: at a fixed depth they
/// are moved up to the top and deleted from there, so that descriptors and stack are bounded.
class Remover final {
 public:
  explicit Remover(Fd top) : top_(std::move(top)) {}

  Result<> run(const std::string& name) {
    mount_ = TRY(mount_of(top_.get(), ""));
    do {
      moved_ = false;
      TRY(empty(TRY(open_at(top_.get(), ".", O_RDONLY | O_DIRECTORY)), name, 0));
    } while (moved_);
    return {};
  }

  /// Opens a directory for removal, and lets us in: our own files may lie in directories that we
  /// made unwritable.
  static Result<Fd> open(int parent, const std::string& name) {
    constexpr int kFlags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    Fd directory(::openat(parent, name.c_str(), kFlags | O_RDONLY));
    if (!directory && errno == EACCES) {
      // Found first and changed then, so that the name cannot come to mean something else.
      const Fd found(::openat(parent, name.c_str(), kFlags | O_PATH));
      if (found) ::chmod(format("/proc/self/fd/{}", found.get()).c_str(), 0700);
      directory = Fd(::openat(parent, name.c_str(), kFlags | O_RDONLY));
    }
    if (!directory) return sys_error("open directory", name);
    struct stat info{};
    if (::fstat(directory.get(), &info) < 0) return sys_error("stat", name);
    if ((info.st_mode & 0700) != 0700) ::fchmod(directory.get(), 0700);
    return directory;
  }

 private:
  Result<> empty(Fd directory, const std::string& name, int depth) {
    DIR* dir = ::fdopendir(directory.get());
    if (dir == nullptr) return sys_error("read directory", name);
    directory.release();
    ScopeExit close([dir] { ::closedir(dir); });
    while (const dirent* entry = ::readdir(dir)) {
      if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
      if (TRY(remove_entry(::dirfd(dir), entry->d_name))) continue;
      TRY(remove_below(::dirfd(dir), entry->d_name, depth));
    }
    return {};
  }

  Result<> remove_below(int parent, const std::string& name, int depth) {
    constexpr int kDepth = 64;
    // The kernel does not let a mount point go, but it would let us empty it.
    const Result<Mount> mount = mount_of(parent, name);
    if (!mount) return unless_gone(mount.error());
    if (*mount != mount_) return errno_error(EXDEV, "remove", name);
    Result<Fd> directory = open(parent, name);
    if (!directory) return unless_gone(directory.error());
    if (depth == kDepth) return move_up(parent, name);
    TRY(empty(std::move(*directory), name, depth + 1));
    return remove_empty(parent, name);
  }

  Result<> move_up(int parent, const std::string& name) {
    moved_ = true;
    for (;;) {
      const std::string above = format("removed-{}", next_++);
      if (::renameat(parent, name.c_str(), top_.get(), above.c_str()) == 0) return {};
      const bool taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
      if (!taken) return unless_gone(sys_error("move up for removal", name));
    }
  }

  Fd top_;
  Mount mount_;
  bool moved_ = false;
  std::uint64_t next_ = 0;
};

}  // namespace

Result<> remove_tree(int parent, const std::string& name) {
  if (TRY(remove_entry(parent, name))) return {};
  Result<Fd> top = Remover::open(parent, name);
  if (!top) return unless_gone(top.error());
  TRY(Remover(std::move(*top)).run(name));
  return remove_empty(parent, name);
}

/// Its directory's mode may forbid an ordinary user to move it: the entry ".." is written.
Result<> move_tree(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST) return {};
  struct stat info{};
  if (errno == EACCES && ::lstat(from.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
      ::chmod(from.c_str(), (info.st_mode & 07777) | 0700) == 0 &&
      ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    if (::chmod(to.c_str(), info.st_mode & 07777) < 0) return sys_error("set mode of", to);
    return {};
  }
  return sys_error("move tree to", to);
}

}  // namespace caisson::sys
