// Log: the collected output of a box's main process (docs/formats/log.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "caisson/exec.h"

namespace caisson::shim {

class Log final {
 public:
  /// Keeps the first `max_bytes` in the file `directory`/logs/output.log, made at the first byte.
  Log(std::string directory, std::uint64_t max_bytes)
      : directory_(std::move(directory)), max_bytes_(max_bytes) {}

  void append(Stream stream, std::string_view data);
  std::uint64_t written() const { return written_; }
  /// Output that was not kept: above the maximum, or because the file could not be written.
  std::uint64_t dropped() const { return dropped_; }

 private:
  bool open();

  std::string directory_;
  std::uint64_t max_bytes_;
  std::uint64_t written_ = 0;
  std::uint64_t dropped_ = 0;
  bool failed_ = false;
  Fd file_;
};

}  // namespace caisson::shim
