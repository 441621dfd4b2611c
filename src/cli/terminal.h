// The user's terminal.
#pragma once

#include <termios.h>

#include <optional>

#include "caisson/result.h"

namespace caisson::cli {

struct TerminalSize {
  unsigned rows = 0;
  unsigned columns = 0;
};

/// Of the first of stdin, stdout and stderr that is a terminal.
std::optional<TerminalSize> terminal_size();

/// Passes every key through while it lives; the destructor restores the terminal.
class RawTerminal final {
 public:
  static Result<RawTerminal> enter(int fd);
  RawTerminal(RawTerminal&& other) noexcept : fd_(other.fd_), saved_(other.saved_) {
    other.fd_ = -1;
  }
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

}  // namespace caisson::cli
