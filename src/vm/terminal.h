// A terminal of ours whose user is a guest: bytes go through as they are, and what its size becomes
// is told.
#pragma once

#include <sys/types.h>

#include <optional>

#include "backend/sandbox.h"
#include "guest/protocol.h"

namespace caisson::vm {

/// A process is told by SIGWINCH when its terminal gets another size, and a terminal has one
/// session: so this has a process of its own, which ends with it.
class TerminalWatch final {
 public:
  /// Of the terminal whose process's side is `slave`.
  static Result<TerminalWatch> start(int slave);
  TerminalWatch(TerminalWatch&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), sizes_(std::move(other.sizes_)) {}
  TerminalWatch& operator=(TerminalWatch&& other) noexcept;
  ~TerminalWatch() { end(); }

  /// Readable when there is another size, or when the terminal is gone.
  int fd() const { return sizes_.get(); }
  /// The last size that was told and not yet read.
  std::optional<guest::WindowSize> read();
  bool ended() const { return ended_; }  ///< as `read` has found: there will be no other size

 private:
  TerminalWatch(pid_t pid, Fd sizes) : pid_(pid), sizes_(std::move(sizes)) {}
  void end();

  pid_t pid_ = -1;
  Fd sizes_;
  bool ended_ = false;
};

/// Both sides of a new terminal that changes no byte.
Result<backend::Terminal> make_raw_terminal();

guest::WindowSize size_of_terminal(int fd);

}  // namespace caisson::vm
