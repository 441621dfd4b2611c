// What /proc says of processes, proc(5).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace caisson::sys {

/// Storage traffic of a process and of the children it has reaped.
struct ProcessIo {
  std::uint64_t read_bytes = 0;
  std::uint64_t write_bytes = 0;
};
/// Also works on a zombie that has not been reaped. Absent without kernel support or permission.
std::optional<ProcessIo> process_io(int pid);
std::optional<ProcessIo> parse_process_io(std::string_view text);

/// User and system time of a process and its reaped children, from the text of its `stat`.
std::optional<std::chrono::nanoseconds> parse_cpu_time(std::string_view stat);

/// The sum over all processes that the procfs at `proc` (a directory descriptor) shows.
std::chrono::nanoseconds proc_cpu_time(int proc);

/// Whether every thread that the procfs at `proc` shows stands still (stopped, traced or dead),
/// process 1 excepted; with `or_asleep` uninterruptible sleep counts as well.
bool all_stopped(int proc, bool or_asleep);

}  // namespace caisson::sys
