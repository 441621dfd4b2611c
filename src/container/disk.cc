#include "container/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "base/fd.h"

namespace caisson::container {
namespace {

/// Takes ownership of `fd`.
std::uint64_t below(int fd, std::uint64_t enough, int depth) {
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) {
    ::close(fd);
    return 0;
  }
  std::uint64_t total = 0;
  while (const dirent* entry = ::readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    struct stat info{};
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
    const auto links = static_cast<std::uint64_t>(info.st_nlink > 0 ? info.st_nlink : 1);
    const auto bytes = static_cast<std::uint64_t>(info.st_blocks) * 512;
    // A file with several names is counted once in sum.
    total += S_ISDIR(info.st_mode) ? bytes : bytes / links;
    if (S_ISDIR(info.st_mode) && depth < 256) {
      const int child =
          ::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child >= 0) total += below(child, enough - std::min(enough, total), depth + 1);
    }
    if (total > enough) break;
  }
  ::closedir(dir);
  return total;
}

}  // namespace

std::uint64_t directory_bytes(const std::string& path, std::uint64_t enough) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? 0 : below(fd, enough, 0);
}

}  // namespace caisson::container
