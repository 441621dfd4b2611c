#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/io.h"

namespace caisson::cli {

std::optional<TerminalSize> terminal_size() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
      return TerminalSize{size.ws_row, size.ws_col};
    }
  }
  return std::nullopt;
}

Result<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) < 0) return cli_sys_error("read terminal mode of", "stdin");
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) < 0) return cli_sys_error("set raw mode on", "stdin");
  return RawTerminal(fd, saved);
}

RawTerminal::~RawTerminal() {
  if (fd_ < 0) return;
  while (::tcsetattr(fd_, TCSADRAIN, &saved_) < 0 && errno == EINTR) {
  }
}

}  // namespace caisson::cli
