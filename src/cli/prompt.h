// Questions to the user at the terminal.
#pragma once

#include <string>

#include "caisson/result.h"
#include "cli/signals.h"

namespace caisson::cli {

struct Answer {
  std::string text;
  int signal = 0;  ///< that came instead of an answer
};

/// Asks on stderr and reads one line of stdin, which is a terminal; with `secret` the keys are not
/// shown. The terminal is what it was when this returns, whatever happened.
Result<Answer> ask(const std::string& question, bool secret, SignalCatcher& signals);

/// All of stdin up to `max_bytes`, without a line end at its end.
Result<Answer> read_secret_from_stdin(std::size_t max_bytes, SignalCatcher& signals);

}  // namespace caisson::cli
