// TarWriter: a tar archive (POSIX.1-1988 ustar), written to a descriptor as it is made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::engine {

/// The same members make the same bytes: every member is of root, mode 0644 or 0755, from the
/// epoch.
class TarWriter final {
 public:
  /// `fd` is borrowed; `name` is for messages.
  TarWriter(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  /// Unpackers of ordinary users fail in directories that they have to make up.
  Result<> add_directory(const std::string& member);
  /// Names have at most 100 bytes.
  Result<> add(const std::string& member, std::string_view content);
  /// `size` bytes of a regular file from its beginning. Their SHA-256, as hexadecimal digits: the
  /// caller compares, because only then is it known whether the bytes were the right ones.
  Result<std::string> add_file(const std::string& member, int file, std::uint64_t size);
  /// The end of the archive.
  Result<> finish();

 private:
  Result<> header(const std::string& member, std::uint64_t size, bool directory = false);
  Result<> pad(std::uint64_t size);
  Result<> write(std::string_view bytes);

  int fd_;
  std::string name_;
};

}  // namespace caisson::engine
