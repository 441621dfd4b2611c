#include "cli/session.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "cli/io.h"
#include "cli/terminal.h"

namespace caisson::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kGrace = seconds(10);

bool is_timeout(const Error& error) { return error.code == Code::kDeadlineExceeded; }

}  // namespace

Result<SessionEnd> Session::run() {
  if (auto sized = follow_terminal_size(); !sized) return sized.error();
  while (!end_.exit && !detached_) {
    auto step = wait_for_events();
    if (step) step = handle_signals();
    if (step) step = feed();
    if (step && !output_ended_) step = drain_output();
    // A descendant may hold the streams of a killed process open: its end is enough then.
    if (step && (output_ended_ || (killed_ && !output_waiting_))) step = check_end();
    if (!step) return std::move(step.error());
  }
  // What a killed process wrote last is kept as well.
  if (end_.exit && !output_ended_) {
    if (auto drained = drain_output(); !drained) return std::move(drained.error());
  }
  end_.asked = stop_requested_ || killed_;
  return end_;
}

int Session::time_to_kill() const {
  if (!kill_at_) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*kill_at_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

Result<> Session::wait_for_events() {
  // poll ignores entries whose descriptor is negative.
  const bool feeding = has_input_to_feed();
  std::array<pollfd, 4> events = {{{exec_.fd(), POLLIN, 0},
                                   {signals_.fd(), POLLIN, 0},
                                   {feeding ? -1 : options_.input, POLLIN, 0},
                                   {feeding ? exec_.stdin_fd() : -1, POLLOUT, 0}}};
  const int timeout = output_waiting_ ? 0 : time_to_kill();
  if (::poll(events.data(), events.size(), timeout) < 0 && errno != EINTR) {
    return cli_sys_error("poll", "streams");
  }
  if (events[0].revents != 0) {
    output_waiting_ = true;
    end_announced_ = output_ended_ || killed_;
  }
  if (events[2].revents != 0) return read_input();
  return {};
}

Result<> Session::handle_signals() {
  while (auto number = signals_.next()) {
    if (auto handled = handle_signal(*number); !handled) return handled;
  }
  if (kill_at_ && std::chrono::steady_clock::now() >= *kill_at_) {
    return kill();
  }
  return {};
}

Result<> Session::handle_signal(int number) {
  switch (number) {
    case SIGWINCH:
      return follow_terminal_size();
    case SIGINT:
    case SIGTERM:
      return request_stop(options_.stop_signal);
    case SIGHUP:
      return request_stop(SIGHUP);
    default:
      return exec_.signal(number);
  }
}

Result<> Session::request_stop(int number) {
  if (stop_requested_) return kill();
  stop_requested_ = true;
  kill_at_ = in(kGrace);
  return exec_.signal(number);
}

Result<> Session::kill() {
  killed_ = true;
  kill_at_.reset();
  return exec_.kill();
}

Result<> Session::follow_terminal_size() {
  if (!options_.tty) return {};
  const auto size = terminal_size();
  if (!size) return {};
  auto resized = exec_.resize(size->rows, size->columns);
  // A process that has just ended has no terminal left to resize.
  if (!resized && resized.error().code != Code::kFailedPrecondition) return resized;
  return {};
}

// At most a megabyte in one go: under a flood of output, signals and input get their turn.
Result<> Session::drain_output() {
  for (int piece = 0; piece < 16 && !detached_; ++piece) {
    auto output = exec_.next_output(in(seconds(0)));
    if (!output && is_timeout(output.error())) {
      output_waiting_ = false;
      return {};
    }
    if (!output) return std::move(output.error());
    if (!*output) {
      output_ended_ = true;
      output_waiting_ = false;
      return {};
    }
    if (auto delivered = deliver(**output); !delivered) return delivered;
  }
  return {};
}

Result<> Session::deliver(const Output& output) {
  std::string_view rest = output.data;
  while (!rest.empty() && !drop_output_ && !detached_) {
    if (!can_write(output.stream)) {
      drop_output_ = killed_;
      if (auto handled = handle_signals(); !handled) return handled;
      continue;
    }
    // A pipe that polls writable takes this much without blocking.
    const std::size_t limit = stop_requested_ ? PIPE_BUF : rest.size();
    auto taken = sink_.take(output.stream, rest.substr(0, limit));
    if (!taken) {
      if (options_.end_process_with_us) (void)kill();  // the first failure is the one to report
      return std::move(taken.error());
    }
    if (!taken->open) return output_closed();
    rest.remove_prefix(taken->bytes);
    if (rest.empty()) break;
    if (auto handled = handle_signals(); !handled) return handled;
  }
  return {};
}

// Ordinarily writes may block: then the process waits for its reader, as in a pipe. Once it was
// asked to end, a reader that sleeps must not keep us from ending it.
bool Session::can_write(Stream stream) {
  const int fd = sink_.fd(stream);
  if (!stop_requested_ || fd < 0) return true;
  std::array<pollfd, 2> events = {{{fd, POLLOUT, 0}, {signals_.fd(), POLLIN, 0}}};
  ::poll(events.data(), events.size(), killed_ ? 0 : time_to_kill());
  return events[0].revents != 0;
}

Result<> Session::output_closed() {
  end_.output_closed = true;
  drop_output_ = true;
  detached_ = !options_.end_process_with_us;
  return detached_ ? Result<>() : kill();
}

Result<> Session::read_input() {
  if (exec_.stdin_fd() < 0) {  // the process was given no stdin, or it is closed
    options_.input = -1;
    return {};
  }
  pending_.resize(64u << 10);
  const ssize_t n = ::read(options_.input, pending_.data(), pending_.size());
  const int error = errno;
  pending_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  if (n > 0 || (n < 0 && (error == EINTR || error == EAGAIN))) return {};
  // End of input. EIO is a terminal that went away, which is an end as well.
  options_.input = -1;
  (void)exec_.close_stdin();  // fails only when the process has ended, which wait() reports
  return {};
}

Result<> Session::feed() {
  while (has_input_to_feed()) {
    auto taken = exec_.write_stdin(pending_, in(seconds(0)));
    if (!taken && !is_timeout(taken.error())) {
      options_.input = -1;  // nothing reads it any more: input is dropped, output goes on
      pending_.clear();
      return {};
    }
    if (!taken || *taken == 0) return {};
    pending_.erase(0, *taken);
  }
  return {};
}

// The end of the output and the end of the process are two messages. Once the second is
// announced a short wait takes it; without that, a level-triggered descriptor would spin.
Result<> Session::check_end() {
  auto exit = exec_.wait(in(end_announced_ ? milliseconds(20) : milliseconds(0)));
  output_waiting_ = false;
  if (exit) {
    end_.exit = *std::move(exit);
    return {};
  }
  return is_timeout(exit.error()) ? Result<>() : Result<>(std::move(exit.error()));
}

}  // namespace caisson::cli
