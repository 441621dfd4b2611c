// Signals of the CLI process, turned into bytes on a pipe.
#pragma once

#include <optional>

#include "caisson/result.h"

namespace caisson::cli {

/// While it lives, INT TERM HUP QUIT USR1 USR2 and WINCH are collected instead of acting, and
/// PIPE is harmless. A system call that blocks is interrupted, so a stuck `write` to a reader
/// that stopped reading does not keep Ctrl-C from working. One at a time in a process.
class SignalCatcher final {
 public:
  static Result<SignalCatcher> install();
  SignalCatcher(SignalCatcher&& other) noexcept : read_end_(other.read_end_) {
    other.read_end_ = -1;
  }
  SignalCatcher& operator=(SignalCatcher&&) = delete;
  ~SignalCatcher();

  /// Polls readable when next() has something.
  int fd() const { return read_end_; }
  std::optional<int> next();

 private:
  explicit SignalCatcher(int read_end) : read_end_(read_end) {}
  int read_end_;
};

/// SIGPIPE becomes an EPIPE error. A handler, not SIG_IGN: an ignored signal stays ignored
/// through exec, in every program that is started from here.
void make_broken_pipes_errors();

}  // namespace caisson::cli
