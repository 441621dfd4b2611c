// The output that a box has kept, as a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "caisson/exec.h"
#include "caisson/result.h"

namespace caisson {

/// A piece of output, as it was read from the main process.
struct LogRecord {
  Stream stream = Stream::kStdout;
  std::int64_t time_ns = 0;  ///< when it was read, since the Unix epoch
  std::string data;          ///< bytes, uninterpreted; not always whole lines
  friend bool operator==(const LogRecord&, const LogRecord&) = default;
};

struct LogOptions {
  std::optional<std::int64_t> since_ns;  ///< only what was read at this time or later
  std::optional<std::size_t> tail;       ///< of what is there, only the last so many lines
  bool follow = false;                   ///< go on with what comes, to the end of the box's run
};

/// Move-only, not thread-safe.
class LogStream final {
 public:
  class Impl;
  explicit LogStream(std::unique_ptr<Impl> impl);
  LogStream(LogStream&&) noexcept;
  LogStream& operator=(LogStream&&) noexcept;
  ~LogStream();

  /// A descriptor that polls readable when `next` may have something. Owned by the stream.
  int fd() const;
  /// The next piece; absent at the end: of what was kept, or with `follow` of the run.
  /// kDeadlineExceeded when nothing comes in time.
  Result<std::optional<LogRecord>> next(Deadline deadline = {});

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson
