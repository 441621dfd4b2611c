#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/io.h"

namespace caisson::cli {
namespace {

constexpr std::array kCaught = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

// A signal handler gets no argument to carry this in.
volatile sig_atomic_t handler_pipe = -1;

void remember(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  // A full pipe already holds thousands of signals; one more would say nothing new.
  [[maybe_unused]] const ssize_t n = ::write(handler_pipe, &byte, 1);
  errno = saved;
}

// Who started us may have chosen to ignore a signal (nohup, a shell's "&"): that stays.
bool is_handled_by(int number, void (*handler)(int)) {
  struct sigaction action = {};
  return ::sigaction(number, nullptr, &action) == 0 && action.sa_handler == handler;
}

void set_action(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;  // no SA_RESTART: see the class comment
  ::sigaction(number, &action, nullptr);
}

}  // namespace

Result<SignalCatcher> SignalCatcher::install() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) < 0)
    return cli_sys_error("create", "signal pipe");
  handler_pipe = ends[1];
  for (int number : kCaught) {
    if (!is_handled_by(number, SIG_IGN)) set_action(number, remember);
  }
  return SignalCatcher(ends[0]);
}

SignalCatcher::~SignalCatcher() {
  if (read_end_ < 0) return;
  for (int number : kCaught) {
    if (is_handled_by(number, remember)) set_action(number, SIG_DFL);
  }
  ::close(read_end_);
  ::close(handler_pipe);
  handler_pipe = -1;
}

std::optional<int> SignalCatcher::next() {
  unsigned char byte = 0;
  if (::read(read_end_, &byte, 1) != 1) return std::nullopt;
  return byte;
}

void make_broken_pipes_errors() {
  set_action(SIGPIPE, [](int) {});
}

}  // namespace caisson::cli
