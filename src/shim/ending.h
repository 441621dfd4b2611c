// Which ExitReason the facts of an ending amount to. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "caisson/exit_info.h"

namespace caisson::shim {

struct EndingFacts {
  std::optional<int> wait_status;         ///< wait(2); absent when the watcher of it was killed too
  std::optional<ExitReason> ended_by_us;  ///< why we killed it, if we did
  std::set<int> sent_signals;             ///< signals that callers sent through us
  bool lost = false;                      ///< without a status: nobody knows
  bool oom_killed = false;                ///< the OOM killer was at work in the box
  bool fork_refused = false;              ///< by the process limit
  bool disk_full = false;                 ///< the disk limit is used up
  bool disk_limited = false;              ///< there is a disk limit
};

/// Sets reason, exit_code and signal.
ExitInfo judge(const EndingFacts& facts);

}  // namespace caisson::shim
