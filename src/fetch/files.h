// Files: what is in a directory or an archive, by name.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "fetch/archive_index.h"

namespace caisson::fetch {

/// Bytes of an open file. The descriptor is borrowed from the Files.
struct Extent {
  int fd = -1;
  std::uint64_t offset = 0, size = 0;
};

class Files final {
 public:
  /// `name` is for messages: the source as it was written.
  static Result<Files> in_directory(Fd directory, std::string name);
  static Result<Files> in_archive(Fd archive, std::string name);

  const std::string& name() const { return name_; }
  /// `image_missing_part` when it is not there. Nothing outside of the directory is opened; links
  /// of an archive lead to its own members.
  Result<Extent> find(const std::string& path);
  /// At most kMaxDocument bytes.
  Result<std::string> read(const std::string& path);

 private:
  Files(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  Result<Extent> open_in_directory(const std::string& path);

  Fd fd_;
  std::string name_;
  bool archive_ = false;
  std::map<std::string, Member> members_;
  std::map<std::string, Fd> opened_;
};

/// Reads an extent that is no longer than `most`.
Result<std::string> read_extent(const Extent& extent, std::size_t most, const std::string& name);

}  // namespace caisson::fetch
