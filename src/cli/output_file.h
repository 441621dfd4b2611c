// A file that a command writes: it is there whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "caisson/result.h"

namespace caisson::cli {

/// A new file takes the place of an old one of that path only with commit(); before, it has no
/// name where the file system can do that. What is no regular file (a pipe, /dev/stdout) is written
/// as it is.
class OutputFile final {
 public:
  static Result<OutputFile> open(const std::string& path);
  /// The same, or standard output for "" and "-"; that must not be a terminal. `hint` is for then.
  static Result<OutputFile> open_archive(const std::string& path, std::string_view hint);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  int fd() const { return fd_; }
  Result<> commit();

 private:
  enum class Kind { kUnnamed, kNamed, kInPlace };
  OutputFile(int fd, std::string path, std::string temporary, Kind kind);

  int fd_;
  std::string path_;
  std::string temporary_;  // beside path_
  Kind kind_;
};

/// An open file without a name in $TMPDIR or /var/tmp; `what` is for messages.
Result<int> open_spool(const std::string& what);

/// Copies all of `from` to `to`. Holes of a file stay holes where the target can have some.
Result<> copy_file(int from, int to, const std::string& from_path, const std::string& to_path);

}  // namespace caisson::cli
