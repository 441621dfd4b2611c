// A foreground process as `run`, `start -a`, `attach` and `exec` show it.
#pragma once

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

#include "caisson/exec.h"
#include "caisson/exit_info.h"
#include "caisson/result.h"
#include "cli/signals.h"

namespace caisson::cli {

struct ForegroundOptions {
  bool input = false;  ///< our stdin feeds the process
  bool tty = false;    ///< the process has a terminal
  int stop_signal = SIGTERM;
  bool end_process_with_us = true;
  bool capture = false;  ///< keep the output instead of printing it
  std::uint64_t capture_max_bytes = 0;
};

struct ForegroundEnd {
  std::optional<ExitInfo> exit;  ///< absent: detached
  bool output_closed = false;
  bool asked = false;  ///< the user or a closed output asked for the end here
  std::string out;     ///< with `capture`
  std::string err;
};

/// docker's check before anything is created: -i with -t needs a terminal on stdin.
Result<> require_terminal(bool interactive, bool tty);

Result<ForegroundEnd> run_foreground(Exec& exec, SignalCatcher& signals,
                                     const ForegroundOptions& options);

/// The program's own, 128 + signal, 124 on a time limit; 141 when our output was closed.
int exit_status(const ForegroundEnd& end);

}  // namespace caisson::cli
