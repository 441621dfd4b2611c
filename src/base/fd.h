// Fd: an owned file descriptor.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace caisson {

class [[nodiscard]] Fd final {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

/// Both ends of a CLOEXEC pipe.
struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe(int flags = 0);

/// open(2) with O_CLOEXEC.
Result<Fd> open_fd(const std::string& path, int flags, unsigned mode = 0);
Result<Fd> open_at(int dir, const std::string& path, int flags, unsigned mode = 0);
Result<Fd> duplicate(int fd);
/// What a directory has, without names that begin with a dot; nothing when it cannot be read.
std::vector<std::string> names_in(const std::string& path, int at = AT_FDCWD);

/// Reads to the end of file, at most `max` bytes (more is an error).
Result<std::string> read_all(int fd, std::size_t max, std::string_view name);
Result<std::string> read_file(const std::string& path, std::size_t max = 16u << 20);
/// Writes all of `data`; for regular files, pipes and blocking sockets.
Result<> write_all(int fd, std::string_view data, std::string_view name);
/// Writes `path` so that it has either its old content or all of the new.
Result<> replace_file(int dir, const std::string& name, std::string_view data, unsigned mode);

Result<> set_nonblocking(int fd, bool on = true);

}  // namespace caisson
