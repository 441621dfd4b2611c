#include "cli/foreground.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "cli/io.h"
#include "cli/session.h"
#include "cli/sink.h"
#include "cli/terminal.h"

namespace caisson::cli {
namespace {

Result<ForegroundEnd> run_session(Exec& exec, SignalCatcher& signals,
                                  const ForegroundOptions& options, OutputSink& sink) {
  std::optional<TerminalMode> raw;
  if (options.tty && options.input && ::isatty(STDIN_FILENO) == 1) {
    auto entered = TerminalMode::raw(STDIN_FILENO);
    if (!entered) return std::move(entered.error());
    raw.emplace(*std::move(entered));
  }
  Session session(exec, signals, sink,
                  {.input = options.input ? STDIN_FILENO : -1,
                   .tty = options.tty,
                   .stop_signal = options.stop_signal,
                   .end_process_with_us = options.end_process_with_us});
  auto end = session.run();
  if (!end) return std::move(end.error());
  return ForegroundEnd{end->exit, end->output_closed, end->asked, {}, {}};
}

}  // namespace

Result<> require_terminal(bool interactive, bool tty) {
  if (!interactive || !tty || ::isatty(STDIN_FILENO) == 1) return {};
  return cli_error(Code::kInvalidArgument, "not_a_terminal",
                   "connect terminal to 'stdin': the input device is not a TTY",
                   "leave out -t when input comes from a file or a pipe");
}

Result<ForegroundEnd> run_foreground(Exec& exec, SignalCatcher& signals,
                                     const ForegroundOptions& options) {
  if (!options.capture) {
    StandardSink sink;
    return run_session(exec, signals, options, sink);
  }
  CaptureSink sink(options.capture_max_bytes);
  auto end = run_session(exec, signals, options, sink);
  if (!end) return end;
  end->out = std::move(sink.out);
  end->err = std::move(sink.err);
  if (end->exit) {
    end->exit->output_dropped_bytes = std::max(end->exit->output_dropped_bytes, sink.dropped_bytes);
  }
  return end;
}

int exit_status(const ForegroundEnd& end) {
  if (end.output_closed) return kStatusOutputClosed;
  return end.exit ? shell_status(*end.exit) : 0;
}

}  // namespace caisson::cli
