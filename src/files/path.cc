#include "files/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace caisson::files {

const int Root::kDirectory = O_PATH | O_DIRECTORY;

Result<Fd> reopen(int found, const std::string& path, int flags) {
  Fd fd(::open(format("/proc/self/fd/{}", found).c_str(), flags | O_CLOEXEC));
  if (!fd) return path_error("open", path);
  return fd;
}

Result<std::string> read_link(int link, const std::string& path) {
  std::string text(4096, '\0');
  const ssize_t n = ::readlinkat(link, "", text.data(), text.size());
  if (n < 0) return path_error("read link", path);
  text.resize(static_cast<std::size_t>(n));
  return text;
}

Result<std::vector<std::string>> names_in(int directory, const std::string& path) {
  Fd again = TRY(open_at(directory, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(again.get()), ::closedir);
  if (!dir) return sys_error("read directory", path);
  [[maybe_unused]] const int owned = again.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return sys_error("read directory", path);
  std::ranges::sort(names);
  return names;
}

std::map<std::string, std::string> read_xattrs(int fd) {
  std::map<std::string, std::string> found;
  std::vector<char> names(64 << 10), value(64 << 10);  // XATTR_LIST_MAX, XATTR_SIZE_MAX
  const ssize_t size = ::flistxattr(fd, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name.starts_with("user.overlay.") ||
        (!name.starts_with("user.") && name != "security.capability"))
      continue;
    const ssize_t n = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (n >= 0) found[name] = std::string(value.data(), static_cast<std::size_t>(n));
  }
  return found;
}

Error path_error(std::string_view action, const std::string& path) {
  Error error = sys_error(action, path);
  if (error.sys_errno == ENOENT) error.reason = "path_not_found";
  return error;
}

Result<FileInfo> info_of(int entry, std::string name) {
  struct stat st{};
  if (::fstat(entry, &st) < 0) return path_error("look at", name);
  FileInfo info;
  info.kind = S_ISDIR(st.st_mode)    ? FileKind::kDirectory
              : S_ISLNK(st.st_mode)  ? FileKind::kSymlink
              : S_ISFIFO(st.st_mode) ? FileKind::kFifo
              : S_ISSOCK(st.st_mode) ? FileKind::kSocket
              : S_ISCHR(st.st_mode)  ? FileKind::kCharDevice
              : S_ISBLK(st.st_mode)  ? FileKind::kBlockDevice
                                     : FileKind::kFile;
  info.mode = st.st_mode & 07777;
  info.uid = st.st_uid;
  info.gid = st.st_gid;
  info.size = static_cast<std::uint64_t>(st.st_size);
  info.mtime_ns = st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec;
  if (info.kind == FileKind::kSymlink) info.link = TRY(read_link(entry, name));
  info.name = std::move(name);
  return info;
}

Result<Root> Root::open(const std::string& path) { return Root(TRY(sys::Dir::open(path))); }

Result<Fd> Root::open_at(const std::string& path, int flags) const {
  Result<Fd> fd = dir_.open_at(path, flags);
  if (fd) return fd;
  errno = fd.error().sys_errno;
  return path_error("open", path);
}

Result<Place> Root::place(std::string path, bool follow) const {
  constexpr int kMostLinks = 40;  // as in path_resolution(7)
  for (int links = 0;; ++links) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    const std::size_t slash = path.rfind('/');
    const std::string above = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    std::string name = slash == path.npos ? path : path.substr(slash + 1);
    if (name.empty() || name == "." || name == "..")
      return make_error(Code::kInvalidArgument, "path_invalid",
                        format("use path '{}': it does not end with a name", path));
    Fd parent = TRY(open_at(above, O_PATH | O_DIRECTORY));
    if (!follow) return Place{std::move(parent), std::move(name)};
    const Fd entry(::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat st{};
    if (!entry || ::fstat(entry.get(), &st) < 0 || !S_ISLNK(st.st_mode))
      return Place{std::move(parent), std::move(name)};
    if (links == kMostLinks) return errno_error(ELOOP, "open", path);
    const std::string target = TRY(read_link(entry.get(), path));
    path = target.starts_with('/') ? target : format("{}/{}", above, target);
  }
}

}  // namespace caisson::files
