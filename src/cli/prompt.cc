#include "cli/prompt.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/io.h"
#include "cli/terminal.h"

namespace caisson::cli {
namespace {

bool ends_us(int number) {
  return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

/// Waits until stdin has something; a signal that ends us goes into `answer`.
Result<> wait_for_input(SignalCatcher& signals, Answer& answer) {
  std::array<pollfd, 2> events = {{{STDIN_FILENO, POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
  if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
    return cli_sys_error("poll", "stdin");
  }
  while (auto number = signals.next()) {
    if (ends_us(*number)) answer.signal = *number;
  }
  return {};
}

/// Appends what comes until `done` says so, stdin ends, or a signal comes.
template <class Done>
Result<Answer> read_answer(SignalCatcher& signals, const Done& done) {
  Answer answer;
  while (!done(answer.text)) {
    auto waited = wait_for_input(signals, answer);
    if (!waited) return std::move(waited.error());
    if (answer.signal != 0) return answer;
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    if (::poll(&ready, 1, 0) != 1) continue;
    std::array<char, 4096> block{};
    const ssize_t n = ::read(STDIN_FILENO, block.data(), block.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return cli_sys_error("read", "stdin");
    if (n == 0) break;
    answer.text.append(block.data(), static_cast<std::size_t>(n));
  }
  return answer;
}

void drop_line_end(std::string& text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
}

}  // namespace

Result<Answer> ask(const std::string& question, bool secret, SignalCatcher& signals) {
  std::optional<TerminalMode> silent;
  if (secret) {
    auto entered = TerminalMode::silent(STDIN_FILENO);
    if (!entered) return std::move(entered.error());
    silent.emplace(*std::move(entered));
  }
  (void)write_all(STDERR_FILENO, question);
  auto answer =
      read_answer(signals, [](const std::string& text) { return text.find('\n') != text.npos; });
  if (secret || (answer && answer->signal != 0)) (void)write_all(STDERR_FILENO, "\n");
  if (answer) drop_line_end(answer->text);
  return answer;
}

Result<Answer> read_secret_from_stdin(std::size_t max_bytes, SignalCatcher& signals) {
  auto answer =
      read_answer(signals, [&](const std::string& text) { return text.size() > max_bytes; });
  if (!answer) return answer;
  if (answer->text.size() > max_bytes) {
    return cli_error(Code::kInvalidArgument, "file_too_large",
                     "read 'stdin': larger than " + std::to_string(max_bytes) + " bytes");
  }
  drop_line_end(answer->text);
  return answer;
}

}  // namespace caisson::cli
