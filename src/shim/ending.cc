#include "shim/ending.h"

#include <signal.h>
#include <sys/wait.h>

namespace caisson::shim {
namespace {

ExitReason reason_of_signal(const EndingFacts& facts, int signal) {
  // A kill of ours explains a death by SIGKILL, and a request to stop also one by its signal.
  if (facts.ended_by_us && (signal == SIGKILL || facts.sent_signals.contains(signal)))
    return *facts.ended_by_us;
  if (signal == SIGKILL && facts.oom_killed) return ExitReason::kOom;
  if (signal == SIGXFSZ && facts.disk_limited) return ExitReason::kDiskFull;
  if (facts.sent_signals.contains(signal)) return ExitReason::kKilled;
  return ExitReason::kSignaled;
}

ExitReason reason_of_exit(const EndingFacts& facts, int code) {
  // A program that answers a stop by exiting has exited; a limit that ended it stays the cause.
  if (facts.ended_by_us && *facts.ended_by_us != ExitReason::kKilled) return *facts.ended_by_us;
  if (code == 0) return ExitReason::kExited;
  // The killer took a child, and the program failed for want of it.
  if (facts.oom_killed) return ExitReason::kOom;
  if (facts.fork_refused) return ExitReason::kPids;
  if (facts.disk_full) return ExitReason::kDiskFull;
  return ExitReason::kExited;
}

}  // namespace

ExitInfo judge(const EndingFacts& facts) {
  ExitInfo info;
  if (facts.lost && !facts.wait_status && !facts.ended_by_us) return info;
  // Without a status the box's init was killed, and the kernel killed the rest with it.
  const int status = facts.wait_status.value_or(SIGKILL);
  if (WIFEXITED(status)) {
    info.exit_code = WEXITSTATUS(status);
    info.reason = reason_of_exit(facts, *info.exit_code);
  } else {
    info.signal = WTERMSIG(status);
    info.reason = reason_of_signal(facts, *info.signal);
  }
  return info;
}

}  // namespace caisson::shim
