// Reading a box's output log (docs/formats/log.md).
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "caisson/log.h"

namespace caisson::engine {

/// Reads the records of `data`/logs/ in order, the file that was rotated away first, and what is
/// added later.
class LogReader final {
 public:
  explicit LogReader(std::string data) : directory_(std::move(data) + "/logs") {}
  /// The next complete record; absent at the end of what has been written. May be called again.
  Result<std::optional<LogRecord>> next();

 private:
  Result<bool> find_next();
  Result<bool> fill();

  std::string directory_;
  Fd file_, next_;
  bool begun_ = false;
  std::string buffer_;
};

/// The last `lines` lines of all records together; a last line without an end counts.
void keep_tail(std::deque<LogRecord>& records, std::size_t lines);

}  // namespace caisson::engine
