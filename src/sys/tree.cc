#include "sys/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "base/fd.h"
#include "base/scope_exit.h"

namespace caisson::sys {
namespace {

Result<> remove_below(Fd directory, const std::string& name, dev_t device) {
  struct stat info{};
  if (::fstat(directory.get(), &info) < 0) return sys_error("stat", name);
  if (device != 0 && info.st_dev != device) return errno_error(EXDEV, "remove", name);
  DIR* dir = ::fdopendir(directory.get());
  if (dir == nullptr) return sys_error("read directory", name);
  directory.release();
  ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    TRY(remove_tree(::dirfd(dir), entry->d_name));
  }
  return {};
}

}  // namespace

Result<> remove_tree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return sys_error("remove", name);
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("remove", name);
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Fd directory(::openat(parent, name.c_str(), kFlags));
  if (!directory && errno == EACCES && ::fchmodat(parent, name.c_str(), 0700, 0) == 0)
    directory = Fd(::openat(parent, name.c_str(), kFlags));
  if (!directory) return sys_error("open directory", name);
  struct stat above{};
  if (::fstat(parent, &above) < 0) return sys_error("stat", name);
  // Our own files may lie in directories we made unwritable.
  struct stat own{};
  if (::fstat(directory.get(), &own) == 0 && (own.st_mode & 0700) != 0700)
    ::fchmod(directory.get(), 0700);
  TRY(remove_below(std::move(directory), name, above.st_dev));
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
    return sys_error("remove", name);
  return {};
}

}  // namespace caisson::sys
