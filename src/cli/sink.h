// Where the output of a process goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "caisson/exec.h"
#include "caisson/result.h"

namespace caisson::cli {

class OutputSink {
 public:
  struct Taken {
    std::size_t bytes = 0;
    bool open = true;  ///< false: nobody reads the output any more
  };

  virtual ~OutputSink() = default;
  /// Takes the beginning of `data`; less than all of it when a signal interrupted a write.
  virtual Result<Taken> take(Stream stream, std::string_view data) = 0;
  /// What to poll before a write that must not block; -1 when take never blocks.
  virtual int fd(Stream stream) const = 0;
};

/// To our own stdout and stderr, byte for byte.
class StandardSink final : public OutputSink {
 public:
  Result<Taken> take(Stream stream, std::string_view data) override;
  int fd(Stream stream) const override;

 private:
  bool stderr_open_ = true;
};

/// Into memory: the first `max_bytes` of both streams together.
class CaptureSink final : public OutputSink {
 public:
  explicit CaptureSink(std::uint64_t max_bytes) : room_(max_bytes) {}
  Result<Taken> take(Stream stream, std::string_view data) override;
  int fd(Stream) const override { return -1; }

  std::string out;
  std::string err;
  std::uint64_t dropped_bytes = 0;

 private:
  std::uint64_t room_;
};

}  // namespace caisson::cli
