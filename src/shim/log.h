// Log: the collected output of a box's main process (docs/formats/log.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "caisson/exec.h"
#include "caisson/limits.h"

namespace caisson::shim {

class Log final {
 public:
  /// Keeps the first bytes in the file `directory`/logs/output.log, made at the first of them; or
  /// with OutputAction::kRotate the last ones, in two files.
  Log(std::string directory, const OutputLimit& limit)
      : directory_(std::move(directory)),
        rotates_(limit.action == OutputAction::kRotate),
        max_bytes_(rotates_ ? limit.max_bytes / 2 : limit.max_bytes) {}

  void append(Stream stream, std::string_view data);
  std::uint64_t written() const { return written_; }
  /// Output that was not kept: above the maximum, or because the file could not be written.
  std::uint64_t dropped() const { return dropped_; }

 private:
  bool open();
  void rotate();

  std::string directory_;
  bool rotates_;
  std::uint64_t max_bytes_;    ///< of one file
  std::uint64_t in_file_ = 0;  ///< of them, in the one that is written
  std::uint64_t rotated_ = 0;  ///< in the other one
  std::uint64_t written_ = 0;
  std::uint64_t dropped_ = 0;
  bool failed_ = false;
  Fd file_;
};

}  // namespace caisson::shim
