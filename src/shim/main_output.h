// MainOutput: the output of a process on its way to the log, if it has one, and to attached
// clients.
#pragma once

#include <cstdint>
#include <functional>

#include "base/fd.h"
#include "shim/log.h"
#include "shim/poller.h"

namespace caisson::shim {

class MainOutput final {
 public:
  /// Passes on a piece of output: stream number, offset of its first byte, bytes.
  using Sink = std::function<void(std::uint32_t, std::uint64_t, std::string_view)>;

  MainOutput(Poller& poller, Log* log, Sink sink)
      : poller_(poller), log_(log), sink_(std::move(sink)) {}

  /// Starts reading. A terminal has no `err`.
  void open(Fd out, Fd err);
  /// At most this many bytes may be read now; 0 stops reading, so that the process blocks.
  void set_room(std::uint64_t bytes);
  /// Reads what is left, to the end, after every writer is gone; then nothing more is read.
  void drain();

  std::uint64_t total() const { return streams_[0].offset + streams_[1].offset; }
  int out_fd() const { return streams_[0].fd.get(); }

 private:
  struct Kept {
    Fd fd;
    std::uint64_t offset = 0;
  };
  /// Returns false when nothing more can be read at the moment.
  bool read(std::size_t index, std::uint64_t room);
  void close(std::size_t index);

  Poller& poller_;
  Log* log_;  ///< the main process's
  Sink sink_;
  Kept streams_[2];
  std::uint64_t room_ = UINT64_MAX;
};

}  // namespace caisson::shim
