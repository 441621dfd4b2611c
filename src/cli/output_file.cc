#include "cli/output_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "cli/io.h"

namespace caisson::cli {
namespace {

constexpr mode_t kMode = 0666;  // less the umask

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// The way to a file without a name (open(2), O_TMPFILE).
std::string link_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

Result<> write_block(int fd, const char* data, std::size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cli_sys_error("write to", path);
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

/// Copies up to `end`, or with none to the end of the file.
Result<> copy_range(int from, int to, std::optional<off_t> end, const std::string& from_path,
                    const std::string& to_path) {
  std::vector<char> block(1u << 20);
  off_t at = end ? ::lseek(from, 0, SEEK_CUR) : 0;
  while (!end || at < *end) {
    std::size_t want = block.size();
    if (end && static_cast<std::size_t>(*end - at) < want) {
      want = static_cast<std::size_t>(*end - at);
    }
    const ssize_t n = ::read(from, block.data(), want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cli_sys_error("read", from_path);
    if (n == 0) return {};
    auto written = write_block(to, block.data(), static_cast<std::size_t>(n), to_path);
    if (!written) return written;
    at += n;
  }
  return {};
}

}  // namespace

OutputFile::OutputFile(int fd, std::string path, std::string temporary, Kind kind)
    : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)), kind_(kind) {}

Result<OutputFile> OutputFile::open_archive(const std::string& path, std::string_view hint) {
  if (!path.empty() && path != "-") return open(path);
  if (::isatty(STDOUT_FILENO) == 1) {
    return cli_error(Code::kInvalidArgument, "is_a_terminal",
                     "write archive to 'stdout': it is a terminal", std::string(hint));
  }
  const int fd = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return cli_sys_error("write archive to", "stdout");
  return OutputFile(fd, "stdout", {}, Kind::kInPlace);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      kind_(other.kind_) {}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (kind_ == Kind::kNamed) ::unlink(temporary_.c_str());
}

Result<OutputFile> OutputFile::open(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return cli_sys_error("open", path);
    return OutputFile(fd, path, {}, Kind::kInPlace);
  }
  std::string temporary = path + ".caisson-" + std::to_string(::getpid());
  int fd = ::open(directory_of(path).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, kMode);
  if (fd >= 0) return OutputFile(fd, path, std::move(temporary), Kind::kUnnamed);
  if (errno != EOPNOTSUPP && errno != EISDIR) return cli_sys_error("create", path);
  fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
  if (fd < 0) return cli_sys_error("create", path);
  return OutputFile(fd, path, std::move(temporary), Kind::kNamed);
}

Result<> OutputFile::commit() {
  if (kind_ == Kind::kInPlace) return {};
  if (kind_ == Kind::kUnnamed) {
    if (::linkat(AT_FDCWD, link_of(fd_).c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) <
        0) {
      return cli_sys_error("create", path_);
    }
    kind_ = Kind::kNamed;
  }
  if (::rename(temporary_.c_str(), path_.c_str()) < 0) return cli_sys_error("create", path_);
  kind_ = Kind::kInPlace;
  return {};
}

Result<int> open_spool(const std::string& what) {
  const char* chosen = std::getenv("TMPDIR");
  std::string directory = chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
  int fd = ::open(directory.c_str(), O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR)
    return cli_sys_error("keep " + what + " in", directory);
  directory += "/caisson-XXXXXX";
  fd = ::mkostemp(directory.data(), O_CLOEXEC);
  if (fd < 0) return cli_sys_error("keep " + what + " in", directory);
  ::unlink(directory.c_str());
  return fd;
}

Result<> copy_file(int from, int to, const std::string& from_path, const std::string& to_path) {
  struct stat source{};
  struct stat target{};
  if (::fstat(from, &source) < 0) return cli_sys_error("look at", from_path);
  if (::fstat(to, &target) < 0) return cli_sys_error("look at", to_path);
  if (!S_ISREG(source.st_mode) || !S_ISREG(target.st_mode)) {
    return copy_range(from, to, std::nullopt, from_path, to_path);
  }
  if (::ftruncate(to, source.st_size) < 0) return cli_sys_error("write to", to_path);
  if (::ioctl(to, FICLONE, from) == 0) return {};  // sharing blocks, where the file system can
  off_t at = 0;
  while ((at = ::lseek(from, at, SEEK_DATA)) >= 0) {
    const off_t end = ::lseek(from, at, SEEK_HOLE);
    if (end < 0 || ::lseek(from, at, SEEK_SET) < 0) return cli_sys_error("read", from_path);
    if (::lseek(to, at, SEEK_SET) < 0) return cli_sys_error("write to", to_path);
    auto copied = copy_range(from, to, end, from_path, to_path);
    if (!copied) return copied;
    at = end;
  }
  return errno == ENXIO ? Result<>() : Result<>(cli_sys_error("read", from_path));
}

}  // namespace caisson::cli
