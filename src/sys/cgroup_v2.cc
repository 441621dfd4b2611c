#include <algorithm>
#include <chrono>

#include "base/format.h"
#include "sys/cgroup_control.h"

namespace caisson::sys {
namespace {

/// The sum of `key=` over all devices in io.stat ("8:0 rbytes=4096 wbytes=0 rios=1 …").
std::uint64_t io_total(std::string_view text, std::string_view key) {
  std::uint64_t total = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (word.starts_with(key) && word.size() > key.size() && word[key.size()] == '=')
      total += parse_number(word.substr(key.size() + 1)).value_or(0);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return total;
}

void add_cpu(const std::optional<std::string>& stat, Usage& usage) {
  if (!stat) return;
  if (auto us = flat_value(*stat, "user_usec")) usage.cpu_user = std::chrono::microseconds(*us);
  if (auto us = flat_value(*stat, "system_usec")) usage.cpu_system = std::chrono::microseconds(*us);
}

}  // namespace

std::vector<ControlWrite> v2_limit_writes(const CgroupLimits& limits, bool swap_file) {
  std::vector<ControlWrite> writes;
  if (limits.memory_bytes) {
    writes.push_back({Controller::kMemory, "memory.max", format("{}", *limits.memory_bytes)});
    if (swap_file) writes.push_back({Controller::kMemory, "memory.swap.max", "0"});
  }
  if (limits.pids) writes.push_back({Controller::kPids, "pids.max", format("{}", *limits.pids)});
  if (limits.cpu_weight)
    writes.push_back({Controller::kCpu, "cpu.weight", format("{}", *limits.cpu_weight)});
  if (limits.cpus) {
    const CpuQuota q = cpu_quota(*limits.cpus);
    writes.push_back({Controller::kCpu, "cpu.max", format("{} {}", q.quota, q.period)});
  }
  return writes;
}

Usage v2_usage(const ControlReader& read, ControllerSet controllers) {
  Usage usage;
  const auto text = [&](Controller c, const char* file) {
    return controllers.has(c) ? read(c, file) : std::nullopt;
  };
  const auto number = [&](Controller c, const char* file) -> std::optional<std::uint64_t> {
    const auto content = text(c, file);
    return content ? parse_number(*content) : std::nullopt;
  };
  usage.peak_memory_bytes = number(Controller::kMemory, "memory.peak");
  usage.memory_bytes = number(Controller::kMemory, "memory.current");
  if (auto events = text(Controller::kMemory, "memory.events"))
    usage.oom_kills = flat_value(*events, "oom_kill");
  add_cpu(text(Controller::kCpuacct, "cpu.stat"), usage);
  usage.max_pids = number(Controller::kPids, "pids.peak");
  usage.pids = number(Controller::kPids, "pids.current");
  if (auto io = text(Controller::kIo, "io.stat")) {
    usage.read_bytes = io_total(*io, "rbytes");
    usage.write_bytes = io_total(*io, "wbytes");
  }
  return usage;
}

}  // namespace caisson::sys
