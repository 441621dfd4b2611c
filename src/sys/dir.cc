#include "sys/dir.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

namespace caisson::sys {

Result<Dir> Dir::open(const std::string& path) {
  return Dir(TRY(open_fd(path, O_PATH | O_DIRECTORY)));
}

Result<Fd> Dir::resolve(std::string_view path, int flags, unsigned mode, unsigned long how) const {
  struct open_how request{};
  request.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  request.mode = mode;
  request.resolve = RESOLVE_NO_MAGICLINKS | how;
  const std::string text(path.empty() ? "." : path);
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, fd_.get(), text.c_str(), &request, sizeof request);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // EAGAIN: a rename raced with the check for "..", see openat2(2).
    if (errno != EAGAIN || tries == 64) return sys_error("open in box", path);
  }
}

Result<Fd> Dir::open_at(std::string_view path, int flags, unsigned mode) const {
  return resolve(path, flags, mode, RESOLVE_IN_ROOT);
}

Result<Fd> Dir::open_no_symlinks(std::string_view path, int flags) const {
  return resolve(path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

Result<Fd> open_real(const std::string& path, int flags) {
  struct open_how request{};
  request.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  request.resolve = RESOLVE_NO_SYMLINKS;
  Fd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &request, sizeof request)));
  if (!fd) return sys_error("open", path);
  return fd;
}

std::string parent_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

namespace {
std::string_view last_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}
}  // namespace

Result<Fd> Dir::make_path(std::string_view path, unsigned mode) const {
  Result<Fd> found = open_at(path, O_PATH | O_DIRECTORY);
  if (found || found.error().sys_errno != ENOENT) return found;
  Fd parent = TRY(make_path(parent_of(path), mode));
  const std::string name(last_of(path));
  if (::mkdirat(parent.get(), name.c_str(), mode) < 0 && errno != EEXIST)
    return sys_error("create directory in box", path);
  return open_at(path, O_PATH | O_DIRECTORY);
}

Result<Fd> Dir::make_file(std::string_view path) const {
  Result<Fd> found = open_at(path, O_PATH);
  if (found || found.error().sys_errno != ENOENT) return found;
  Fd parent = TRY(make_path(parent_of(path)));
  const std::string name(last_of(path));
  Fd file(::openat(parent.get(), name.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file && errno != EEXIST) return sys_error("create file in box", path);
  return open_at(path, O_PATH);
}

Result<std::string> Dir::read(std::string_view path, std::size_t max) const {
  // Looked at before it is opened: opening a device acts, and a link into /proc would make us read
  // with our rights what the box may not.
  const Fd place = TRY(open_at(path, O_PATH));
  struct stat info{};
  struct statfs system{};
  if (::fstat(place.get(), &info) < 0 || ::fstatfs(place.get(), &system) < 0)
    return sys_error("stat in box", path);
  if (!S_ISREG(info.st_mode) || system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC)
    return errno_error(EINVAL, "read in box", path);
  const Fd fd = TRY(open_fd(format("/proc/self/fd/{}", place.get()), O_RDONLY | O_NONBLOCK));
  return read_all(fd.get(), max, path);
}

}  // namespace caisson::sys
