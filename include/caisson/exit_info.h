// How a program ended and what it used.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace caisson {

/// Why a process or a box ended. The end of a guest is data, never an Error.
enum class ExitReason {
  kExited,       ///< it called exit; `exit_code` is its own
  kSignaled,     ///< a signal that Caisson did not send ended it
  kTimeout,      ///< the wall-time limit
  kCpuTime,      ///< the CPU-time limit
  kOom,          ///< the kernel's out-of-memory killer ended it (memory limit)
  kPids,         ///< it failed after a fork was refused by the process limit
  kOutputLimit,  ///< it wrote more than the output limit and the action was `kill`
  kDiskFull,     ///< it used up the disk limit
  kKilled,       ///< a caller stopped or killed it
  kLost,         ///< the process that watched it died, so how it ended is not known
  kHibernated,   ///< it has not ended: its memory was saved, and it goes on at the next start
};
std::string_view to_string(ExitReason reason);

/// Resources used. A figure that this host cannot supply is absent, never zero.
/// Sources: cgroup v1/v2 files (kernel Documentation/admin-guide/cgroup-v{1,2}), wait4(2),
/// /proc/<pid>/io (proc(5)).
struct Usage {
  std::optional<std::uint64_t> peak_memory_bytes;
  std::optional<std::uint64_t> memory_bytes;  ///< now; only in live statistics
  std::optional<std::chrono::nanoseconds> cpu_user;
  std::optional<std::chrono::nanoseconds> cpu_system;
  std::optional<std::chrono::nanoseconds> wall;
  std::optional<std::uint64_t> read_bytes;   ///< fetched from storage
  std::optional<std::uint64_t> write_bytes;  ///< sent towards storage
  std::optional<std::uint64_t> max_pids;
  std::optional<std::uint64_t> pids;       ///< now; only in live statistics
  std::optional<std::uint64_t> oom_kills;  ///< processes the OOM killer ended in the box
  /// Of a microVM, only in live statistics: what its machine takes of the host beyond what the box
  /// uses inside. Memory is the monitor's proportional set size (proc_pid_smaps(5)).
  std::optional<std::uint64_t> vmm_memory_bytes;
  std::optional<std::chrono::nanoseconds> vmm_cpu;
  friend bool operator==(const Usage&, const Usage&) = default;
};

/// The truthful account of an ending.
///
///     caisson::ExitInfo end = *exec.wait();
///     if (end.reason == caisson::ExitReason::kExited) std::exit(*end.exit_code);
struct ExitInfo {
  ExitReason reason = ExitReason::kLost;
  std::optional<int> exit_code;  ///< present when the process called exit
  std::optional<int> signal;     ///< present when a signal ended it
  std::chrono::nanoseconds duration{0};
  Usage usage;  ///< of the whole box for a box's end; CPU and wall time for an exec
  std::uint64_t output_bytes = 0;          ///< written to stdout and stderr, if Caisson carried it
  std::uint64_t output_dropped_bytes = 0;  ///< of these, not collected (see OutputLimit)
  friend bool operator==(const ExitInfo&, const ExitInfo&) = default;
};

/// The exit status a shell would show: the program's code, 128 + signal, 124 on a time limit.
int shell_status(const ExitInfo& info);

}  // namespace caisson
