#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/format.h"
#include "sys/cgroup_control.h"

namespace caisson::sys {
namespace {

void add_memory(std::vector<ControlWrite>& writes, std::uint64_t bytes,
                std::optional<std::uint64_t> memsw_now) {
  ControlWrite limit{Controller::kMemory, "memory.limit_in_bytes", format("{}", bytes)};
  if (!memsw_now) {
    writes.push_back(std::move(limit));
    return;
  }
  ControlWrite memsw{Controller::kMemory, "memory.memsw.limit_in_bytes", limit.value};
  if (bytes > *memsw_now) std::swap(limit, memsw);
  writes.push_back(std::move(limit));
  writes.push_back(std::move(memsw));
}

}  // namespace

std::uint64_t v1_cpu_shares(std::uint64_t weight) {
  // weight = 10^((l² + 125·l)/612 − 7/34) with l = log2(shares), solved for l.
  const double exponent = std::log10(static_cast<double>(weight)) + 7.0 / 34.0;
  const double l = (-125.0 + std::sqrt(125.0 * 125.0 + 4.0 * 612.0 * exponent)) / 2.0;
  return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::llround(std::exp2(l))), 2,
                                   262'144);
}

std::vector<ControlWrite> v1_limit_writes(const CgroupLimits& limits,
                                          std::optional<std::uint64_t> memsw_now) {
  std::vector<ControlWrite> writes;
  if (limits.memory_bytes) add_memory(writes, *limits.memory_bytes, memsw_now);
  if (limits.pids) writes.push_back({Controller::kPids, "pids.max", format("{}", *limits.pids)});
  if (limits.cpu_weight)
    writes.push_back(
        {Controller::kCpu, "cpu.shares", format("{}", v1_cpu_shares(*limits.cpu_weight))});
  if (limits.cpus) {
    const CpuQuota q = cpu_quota(*limits.cpus);
    writes.push_back({Controller::kCpu, "cpu.cfs_period_us", format("{}", q.period)});
    writes.push_back({Controller::kCpu, "cpu.cfs_quota_us", format("{}", q.quota)});
  }
  return writes;
}

Usage v1_usage(const ControlReader& read, ControllerSet controllers) {
  Usage usage;
  const auto number = [&](Controller c, const char* file) -> std::optional<std::uint64_t> {
    const auto text = controllers.has(c) ? read(c, file) : std::nullopt;
    return text ? parse_number(*text) : std::nullopt;
  };
  const auto nanoseconds = [&](const char* file) -> std::optional<std::chrono::nanoseconds> {
    const auto ns = number(Controller::kCpuacct, file);
    if (!ns) return std::nullopt;
    return std::chrono::nanoseconds(*ns);
  };
  usage.peak_memory_bytes = number(Controller::kMemory, "memory.max_usage_in_bytes");
  usage.memory_bytes = number(Controller::kMemory, "memory.usage_in_bytes");
  usage.cpu_user = nanoseconds("cpuacct.usage_user");
  usage.cpu_system = nanoseconds("cpuacct.usage_sys");
  usage.max_pids = number(Controller::kPids, "pids.peak");
  usage.pids = number(Controller::kPids, "pids.current");
  if (controllers.has(Controller::kMemory)) {
    if (auto text = read(Controller::kMemory, "memory.oom_control"))
      usage.oom_kills = flat_value(*text, "oom_kill");
  }
  return usage;
}

}  // namespace caisson::sys
