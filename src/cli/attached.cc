#include "cli/attached.h"

#include <csignal>

#include "cli/ending.h"
#include "cli/foreground.h"

namespace caisson::cli {

Result<int> stop_signal_of(const BoxSpec& spec) {
  if (spec.stop_signal.empty()) return SIGTERM;
  return parse_signal(spec.stop_signal);
}

Result<int> show_main(Box& box, const BoxSpec& spec, Exec& exec, SignalCatcher& signals, bool input,
                      bool end_process_with_us) {
  auto stop_signal = stop_signal_of(spec);
  if (!stop_signal) return stop_signal;
  auto end = run_foreground(exec, signals,
                            {.input = input && spec.open_stdin,
                             .tty = spec.tty,
                             .stop_signal = *stop_signal,
                             .end_process_with_us = end_process_with_us});
  if (!end) {
    if (end_process_with_us) (void)box.kill();  // the first failure is the one to report
    return std::move(end.error());
  }
  if (!end->exit) return exit_status(*end);
  // The next command of the user must find the box stopped. A box that removes itself is gone.
  if (auto stopped = box.wait()) end->exit = *std::move(stopped);
  tell_ending("box '" + box.id() + "'", *end, spec.limits);
  return exit_status(*end);
}

}  // namespace caisson::cli
