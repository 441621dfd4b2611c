#include "vm/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace caisson::vm {
namespace {

/// Tells every size until the terminal is hung up, whose SIGHUP ends this process.
[[noreturn]] void watch(pid_t parent, int slave, int sizes) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  // Nothing else of the shim's may be kept open by this process.
  slave = ::dup2(slave, 0);
  sizes = ::dup2(sizes, 1);
  ::syscall(SYS_close_range, 2, ~0u, 0);
  ::setsid();
  ::signal(SIGHUP, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t changes;
  ::sigemptyset(&changes);
  ::sigaddset(&changes, SIGWINCH);
  ::sigprocmask(SIG_SETMASK, &changes, nullptr);
  if (::ioctl(slave, TIOCSCTTY, 0) < 0) ::_exit(1);
  for (int number = 0;;) {
    // The first before any change: it may have come before we were there to be told.
    const guest::WindowSize size = size_of_terminal(slave);
    if (::write(sizes, &size, sizeof size) < 0) ::_exit(1);
    ::sigwait(&changes, &number);
  }
}

}  // namespace

guest::WindowSize size_of_terminal(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0) return {};
  return {size.ws_row, size.ws_col};
}

Result<TerminalWatch> TerminalWatch::start(int slave) {
  Pipe sizes = TRY(make_pipe());
  TRY(set_nonblocking(sizes.read.get()));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return sys_error("start process", "");
  if (pid == 0) watch(parent, slave, sizes.write.get());
  return TerminalWatch(pid, std::move(sizes.read));
}

TerminalWatch& TerminalWatch::operator=(TerminalWatch&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  sizes_ = std::move(other.sizes_);
  return *this;
}

void TerminalWatch::end() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(std::exchange(pid_, -1), nullptr, 0);
}

std::optional<guest::WindowSize> TerminalWatch::read() {
  std::optional<guest::WindowSize> last;
  guest::WindowSize size;
  ssize_t n = 0;
  while ((n = ::read(sizes_.get(), &size, sizeof size)) == sizeof size) last = size;
  ended_ = n == 0;
  return last;
}

Result<backend::Terminal> make_raw_terminal() {
  Fd master = TRY(open_fd("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0) return sys_error("unlock terminal", "");
  Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return sys_error("open terminal", "");
  termios settings{};
  if (::tcgetattr(slave.get(), &settings) < 0) return sys_error("set up terminal", "");
  ::cfmakeraw(&settings);
  if (::tcsetattr(slave.get(), TCSANOW, &settings) < 0) return sys_error("set up terminal", "");
  return backend::Terminal{std::move(master), std::move(slave)};
}

}  // namespace caisson::vm
