// Limits: what a box or an exec may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace caisson {

/// What happens when more output arrives than `max_bytes`.
enum class OutputAction {
  kStopCollecting,  ///< go on reading, keep the first `max_bytes`, count the rest
  kRotate,          ///< keep the last `max_bytes` or somewhat less of a main process' output in the
                    ///< log; for an exec as kStopCollecting
  kKill,            ///< end the process with ExitReason::kOutputLimit
};

/// Bounds the collected stdout + stderr of one process, in bytes.
struct OutputLimit {
  std::uint64_t max_bytes = 10ull << 20;
  OutputAction action = OutputAction::kStopCollecting;
  friend bool operator==(const OutputLimit&, const OutputLimit&) = default;
};

/// An absent field is the profile's default. A field that the caller sets and this host cannot
/// enforce makes `create` fail (reason `limit_unsupported`) unless BoxSpec::allow_missing names
/// it (its field name, e.g. "memory").
struct Limits {
  std::optional<std::uint64_t> memory_bytes;  ///< RAM and swap together, whole box, at least 1 MiB
  std::optional<std::uint64_t> pids;          ///< processes and threads, whole box, init included
  std::optional<double> cpus;                 ///< quota in processors, at least 0.01
  std::optional<std::uint64_t> cpu_weight;    ///< 1..10000, 100 is normal (cgroup v2 scale)
  std::optional<std::chrono::nanoseconds> cpu_time;   ///< user + system, whole box
  std::optional<std::chrono::nanoseconds> wall_time;  ///< since the main process was started
  std::optional<std::uint64_t> open_files;            ///< RLIMIT_NOFILE, per process
  std::optional<std::uint64_t> file_size_bytes;       ///< RLIMIT_FSIZE, per file
  std::optional<std::uint64_t> disk_bytes;            ///< what the box's writable layer may hold
  /// What of its disk a microVM may read and write together in a second; others cannot have these.
  std::optional<std::uint64_t> disk_bytes_per_second, disk_operations_per_second;
  std::optional<std::uint64_t> tmpfs_bytes;   ///< each tmpfs without a size of its own
  std::optional<std::uint64_t> tmpfs_inodes;  ///< each tmpfs
  OutputLimit output;
  friend bool operator==(const Limits&, const Limits&) = default;
};

}  // namespace caisson
