// The main command of an existing box in the foreground.
#pragma once

#include "caisson/box.h"
#include "cli/signals.h"

namespace caisson::cli {

/// Carries the streams of `exec`, the main process of `box`, to its end or until nobody reads
/// our output. Returns the exit status.
Result<int> show_main(Box& box, const BoxSpec& spec, Exec& exec, SignalCatcher& signals, bool input,
                      bool end_process_with_us);

/// The number of the box's stop signal.
Result<int> stop_signal_of(const BoxSpec& spec);

}  // namespace caisson::cli
