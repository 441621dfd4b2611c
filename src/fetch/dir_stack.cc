#include "fetch/dir_stack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fetch/attributes.h"

namespace caisson::fetch {

std::size_t DirStack::match(Components path) {
  std::size_t same = 0;
  while (same < levels_.size() && same < path.size() && levels_[same].name == path[same]) ++same;
  levels_.resize(same);
  return same;
}

int DirStack::push(std::string_view name) {
  Level level;
  level.name = name;
  const int flags = mode_ == Mode::kPath ? O_PATH : O_RDONLY;
  level.fd = Fd{::openat(top(), level.name.c_str(), flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!level.fd) return errno == ELOOP ? ENOTDIR : errno;
  if (mode_ == Mode::kRead) level.in_opaque = in_opaque() || is_opaque(level.fd.get());
  levels_.push_back(std::move(level));
  return 0;
}

int DirStack::open(Components path) {
  for (std::size_t i = match(path); i < path.size(); ++i)
    if (const int err = push(path[i]); err != 0) return err;
  return 0;
}

bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }

bool is_opaque(int fd) {
  char value = 0;
  return ::fgetxattr(fd, kOpaqueXattr, &value, sizeof value) == 1 && value == 'y';
}

void split_path(std::string_view path, std::vector<std::string_view>& components) {
  components.clear();
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    components.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
}

std::string join_path(Components components) {
  std::string path;
  for (const std::string_view component : components) {
    if (!path.empty()) path += '/';
    path += component;
  }
  return path;
}

}  // namespace caisson::fetch
