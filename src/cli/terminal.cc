#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

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

Result<TerminalMode> TerminalMode::enter(int fd, std::string_view name, int when,
                                         void (*change)(termios&)) {
  termios saved{};
  if (::tcgetattr(fd, &saved) < 0) return cli_sys_error("read terminal mode of", "stdin");
  termios mode = saved;
  change(mode);
  if (::tcsetattr(fd, when, &mode) < 0) {
    return cli_sys_error("set " + std::string(name) + " mode on", "stdin");
  }
  return TerminalMode(fd, saved);
}

Result<TerminalMode> TerminalMode::raw(int fd) {
  return enter(fd, "raw", TCSADRAIN, [](termios& mode) { ::cfmakeraw(&mode); });
}

Result<TerminalMode> TerminalMode::silent(int fd) {
  // Flushed: what was typed ahead was shown, so it is no password.
  return enter(fd, "silent", TCSAFLUSH, [](termios& mode) {
    mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL);
  });
}

TerminalMode::~TerminalMode() {
  if (fd_ < 0) return;
  while (::tcsetattr(fd_, TCSADRAIN, &saved_) < 0 && errno == EINTR) {
  }
}

}  // namespace caisson::cli
