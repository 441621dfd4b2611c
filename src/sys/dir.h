// Dir: a directory tree entered only by descriptor. Paths below it are resolved by the kernel as
// if the directory were the root (openat2(2) RESOLVE_IN_ROOT), so a hostile tree cannot lead out.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "base/fd.h"

namespace caisson::sys {

class Dir final {
 public:
  explicit Dir(Fd fd) : fd_(std::move(fd)) {}
  static Result<Dir> open(const std::string& path);

  int fd() const { return fd_.get(); }

  /// openat2 with RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS. `path` may be absolute or relative.
  Result<Fd> open_at(std::string_view path, int flags, unsigned mode = 0) const;
  /// The same, and no component may be a symbolic link.
  Result<Fd> open_no_symlinks(std::string_view path, int flags) const;
  /// Opens (O_PATH) the directory `path`, creating what is missing with `mode`.
  Result<Fd> make_path(std::string_view path, unsigned mode = 0755) const;
  /// Opens (O_PATH) the file `path`, creating an empty one and its parents when missing.
  Result<Fd> make_file(std::string_view path) const;
  /// Reads a regular file of at most `max` bytes; never blocks on a FIFO or a device.
  Result<std::string> read(std::string_view path, std::size_t max) const;

 private:
  Result<Fd> resolve(std::string_view path, int flags, unsigned mode, unsigned long how) const;
  Fd fd_;
};

/// Opens an absolute path of the host in which no component is a symbolic link, ELOOP otherwise.
Result<Fd> open_real(const std::string& path, int flags);

/// The components of a path without empty ones and "."; ".." is kept.
std::string parent_of(std::string_view path);

}  // namespace caisson::sys
