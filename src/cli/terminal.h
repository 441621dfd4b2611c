// The user's terminal.
#pragma once

#include <termios.h>

#include <optional>
#include <string_view>

#include "caisson/result.h"

namespace caisson::cli {

struct TerminalSize {
  unsigned rows = 0;
  unsigned columns = 0;
};

/// Of the first of stdin, stdout and stderr that is a terminal.
std::optional<TerminalSize> terminal_size();

/// A mode of a terminal while it lives; the destructor restores what was before.
class TerminalMode final {
 public:
  /// Passes every key through.
  static Result<TerminalMode> raw(int fd);
  /// Does not show what is typed; a line's end is shown by nobody.
  static Result<TerminalMode> silent(int fd);
  TerminalMode(TerminalMode&& other) noexcept : fd_(other.fd_), saved_(other.saved_) {
    other.fd_ = -1;
  }
  TerminalMode& operator=(TerminalMode&&) = delete;
  ~TerminalMode();

 private:
  static Result<TerminalMode> enter(int fd, std::string_view name, int when,
                                    void (*change)(termios&));
  TerminalMode(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

}  // namespace caisson::cli
