// What /proc says of processes, proc(5).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

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

/// The processes that descend from `ancestor`, in our pid namespace; not itself.
std::vector<int> descendants(int ancestor);
/// Sends the signal to each of them, once. New ones may appear meanwhile: SIGKILL is sent again
/// until none is left, which comes to an end because what is dead and not reaped counts against the
/// limit of processes (RLIMIT_NPROC, setrlimit(2)).
void signal_descendants(int ancestor, int number);
/// The same as `all_stopped` and `proc_cpu_time` for the descendants of a process.
bool descendants_stopped(int ancestor, bool or_asleep);
std::chrono::nanoseconds descendants_cpu_time(int ancestor);

}  // namespace caisson::sys
