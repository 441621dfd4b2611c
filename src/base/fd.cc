#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>

namespace caisson {

Result<Pipe> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | flags) < 0) return sys_error("create pipe", "");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

Result<Fd> open_fd(const std::string& path, int flags, unsigned mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Result<Fd> open_at(int dir, const std::string& path, int flags, unsigned mode) {
  Fd fd(::openat(dir, path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return sys_error("open", path);
  return fd;
}

Result<Fd> duplicate(int fd) {
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return sys_error("duplicate descriptor", "");
  return copy;
}

std::vector<std::string> names_in(const std::string& path, int at) {
  std::vector<std::string> names;
  Fd fd(::openat(at, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* directory = fd ? ::fdopendir(fd.get()) : nullptr;
  if (directory == nullptr) return names;
  static_cast<void>(fd.release());                    // the stream's now
  while (const dirent* entry = ::readdir(directory))  // NOLINT(concurrency-mt-unsafe)
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(directory);
  return names;
}

Result<std::string> read_all(int fd, std::size_t max, std::string_view name) {
  std::string data;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("read", name);
    if (n == 0) return data;
    data.append(buffer, static_cast<std::size_t>(n));
    if (data.size() > max)
      return make_error(Code::kResourceExhausted, "file_too_large",
                        format("read '{}': larger than {} bytes", name, max));
  }
}

Result<std::string> read_file(const std::string& path, std::size_t max) {
  Fd fd = TRY(open_fd(path, O_RDONLY));
  return read_all(fd.get(), max, path);
}

Result<> write_all(int fd, std::string_view data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("write", name);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> replace_file(int dir, const std::string& name, std::string_view data, unsigned mode) {
  const std::string temporary = format("{}.{}.tmp", name, ::getpid());
  Fd fd = TRY(open_at(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  Result<> written = write_all(fd.get(), data, name);
  if (written && ::renameat(dir, temporary.c_str(), dir, name.c_str()) < 0)
    written = sys_error("rename into place", name);
  if (!written) ::unlinkat(dir, temporary.c_str(), 0);
  return written;
}

Result<> set_nonblocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return sys_error("read flags of descriptor", "");
  if (::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
    return sys_error("set flags of descriptor", "");
  return {};
}

}  // namespace caisson
