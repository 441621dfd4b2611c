#include "caisson/exit_info.h"

namespace caisson {
namespace {

constexpr int kTimeLimit = 124;      // timeout(1)
constexpr int kCaissonFailed = 125;  // docker-run(1)
constexpr int kSignalBase = 128;
constexpr int kSigKill = 9;

}  // namespace

int shell_status(const ExitInfo& info) {
  if (info.reason == ExitReason::kTimeout || info.reason == ExitReason::kCpuTime) return kTimeLimit;
  if (info.exit_code) return *info.exit_code;
  if (info.signal) return kSignalBase + *info.signal;
  // Without a status: either nobody saw the end, or Caisson made it with SIGKILL.
  return info.reason == ExitReason::kLost ? kCaissonFailed : kSignalBase + kSigKill;
}

}  // namespace caisson
