// The contents of cgroup control files: limits as writes, usage as reads. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/exit_info.h"
#include "sys/cgroup_layout.h"

namespace caisson::sys {

/// What a group may use. Absent = not limited (at creation) or unchanged (in an update).
struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;  ///< RAM and swap together
  std::optional<std::uint64_t> pids;          ///< processes and threads
  std::optional<std::uint64_t> cpu_weight;    ///< 1..10000, 100 is the kernel's default (v2 scale)
  std::optional<double> cpus;                 ///< CPU time per wall time, e.g. 0.5
  friend bool operator==(const CgroupLimits&, const CgroupLimits&) = default;
};

/// Refuses what no kernel accepts: zero, a weight out of range, a share of a CPU under 1/1000.
Result<> validate(const CgroupLimits& limits);

/// One write to one control file of the group.
struct ControlWrite {
  Controller controller;
  std::string file;
  std::string value;
  friend bool operator==(const ControlWrite&, const ControlWrite&) = default;
};

/// A control file's content, or nothing when it does not exist or cannot be read.
using ControlReader = std::function<std::optional<std::string>(Controller, const char* file)>;

/// Bandwidth as the kernel's pair: `quota` microseconds in each `period` microseconds.
struct CpuQuota {
  std::uint64_t quota, period;
  friend bool operator==(const CpuQuota&, const CpuQuota&) = default;
};
CpuQuota cpu_quota(double cpus);

/// "123\n" → 123; "max" and anything else → nothing.
std::optional<std::uint64_t> parse_number(std::string_view text);
/// The number after `key` in lines of "key number".
std::optional<std::uint64_t> flat_value(std::string_view text, std::string_view key);

// cgroup_v1.cc, after Documentation/admin-guide/cgroup-v1.

/// v1 cpu.shares for a v2 weight, on the curve through (1, 2), (100, 1024) and (10000, 262144)
/// that OCI runtimes use in the other direction; a plain line would turn the default weight of
/// 100 into 2597 shares instead of the default 1024.
std::uint64_t v1_cpu_shares(std::uint64_t weight);

/// The writes in an order that the kernel accepts: it keeps memory ≤ memory+swap at every moment,
/// so the limit that grows room goes first. `memsw_now` is the current
/// memory.memsw.limit_in_bytes, absent when the file does not exist.
std::vector<ControlWrite> v1_limit_writes(const CgroupLimits& limits,
                                          std::optional<std::uint64_t> memsw_now);
Usage v1_usage(const ControlReader& read, ControllerSet controllers);

// cgroup_v2.cc, after Documentation/admin-guide/cgroup-v2.

/// `swap_file`: memory.swap.max exists (there is none without swap accounting).
std::vector<ControlWrite> v2_limit_writes(const CgroupLimits& limits, bool swap_file);
Usage v2_usage(const ControlReader& read, ControllerSet controllers);

}  // namespace caisson::sys
