// ControlDir: one group's directory in one hierarchy, its files read and written relative to a
// descriptor.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace caisson::sys {

class ControlDir final {
 public:
  static Result<ControlDir> open(std::string path);

  const std::string& path() const { return path_; }
  int fd() const { return dir_.get(); }
  bool has(const char* file) const;
  Result<std::string> read(const char* file) const;
  /// Nothing when the file does not exist or cannot be read.
  std::optional<std::string> find(const char* file) const;
  Result<> write(const char* file, std::string_view value) const;

  /// Adds the processes of this group and of all groups below it.
  void collect_pids(std::vector<int>& pids) const;
  /// Removes all groups below this one. EBUSY while processes live in them.
  Result<> remove_children() const;

 private:
  ControlDir(Fd dir, std::string path) : dir_(std::move(dir)), path_(std::move(path)) {}

  Fd dir_;  // O_PATH
  std::string path_;
};

/// Waits in growing steps (50 µs to 5 ms) for something that has no pollable sign.
class Backoff final {
 public:
  explicit Backoff(std::chrono::nanoseconds limit);
  /// Sleeps once; false when the time is over.
  bool wait();

 private:
  std::int64_t deadline_, step_;
};

}  // namespace caisson::sys
