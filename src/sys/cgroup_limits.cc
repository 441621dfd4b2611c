// The part of Cgroup that sets limits and reads figures.
#include <array>

#include "base/format.h"
#include "sys/cgroup.h"

namespace caisson::sys {
namespace {

constexpr const char* kMemsw = "memory.memsw.limit_in_bytes";

Error unenforceable(const std::string& id, std::string_view limit, std::string_view why) {
  return make_error(Code::kFailedPrecondition, "limit_unsupported",
                    format("set {} limit of box '{}': {}", limit, id, why));
}

struct Need {
  bool asked;
  Controller controller;
  std::string_view name;
};

std::array<Need, 4> needs(const CgroupLimits& limits) {
  return {{{limits.memory_bytes.has_value(), Controller::kMemory, "memory"},
           {limits.pids.has_value(), Controller::kPids, "pids"},
           {limits.cpu_weight.has_value(), Controller::kCpu, "cpu weight"},
           {limits.cpus.has_value(), Controller::kCpu, "cpus"}}};
}

}  // namespace

Result<> Cgroup::require(const CgroupLayout& layout, const CgroupLimits& limits) const {
  for (const Need& need : needs(limits)) {
    if (!need.asked || has(need.controller)) continue;
    const Group* v2 = find_v2();
    const bool not_handed_down = layout.usable(need.controller) && v2 != nullptr;
    return unenforceable(id_, need.name,
                         not_handed_down ? v2->missing : layout.why_not(need.controller));
  }
  return {};
}

Result<std::vector<ControlWrite>> Cgroup::limit_writes(int version,
                                                       const CgroupLimits& limits) const {
  const Group* memory = find(Controller::kMemory);
  const bool ours = memory != nullptr && memory->version == version && limits.memory_bytes;
  bool swap_covered = !ours;
  std::vector<ControlWrite> writes;
  if (version == 1) {
    std::optional<std::uint64_t> memsw;
    if (ours) memsw = parse_number(memory->dir.find(kMemsw).value_or(""));
    swap_covered |= memsw.has_value();
    writes = v1_limit_writes(limits, memsw);
  } else {
    const bool swap_file = ours && memory->dir.has("memory.swap.max");
    swap_covered |= swap_file;
    writes = v2_limit_writes(limits, swap_file);
  }
  if (!swap_covered && host_has_swap_)
    return unenforceable(id_, "memory",
                         "the kernel does not count swap per cgroup (no swap accounting)");
  return writes;
}

Result<> Cgroup::apply(const CgroupLimits& limits) {
  for (int version : {1, 2}) {
    for (const ControlWrite& write : TRY(limit_writes(version, limits))) {
      const Group* group = find(write.controller);
      if (group == nullptr || group->version != version) continue;
      auto written = group->dir.write(write.file.c_str(), write.value);
      if (written) continue;
      if (written.error().sys_errno == ENOENT)
        return unenforceable(id_, to_string(write.controller), written.error().message);
      return std::move(written).error();
    }
  }
  return {};
}

Result<> Cgroup::update(const CgroupLimits& limits) {
  TRY(validate(limits));
  for (const Need& need : needs(limits))
    if (need.asked && !has(need.controller))
      return unenforceable(id_, need.name,
                           format("the box has no {} cgroup", to_string(need.controller)));
  return apply(limits);
}

std::optional<std::string> Cgroup::read(Controller controller, const char* file) const {
  const Group* group = find(controller);
  return group != nullptr ? group->dir.find(file) : std::nullopt;
}

namespace {

template <class T>
void take(std::optional<T>& into, std::optional<T> from) {
  if (from) into = from;
}

}  // namespace

Usage Cgroup::usage() const {
  Usage sum;
  for (const Group& group : groups_) {
    ControllerSet mine;  // with several v1 hierarchies, each controller is read where it lives
    for (Controller c : kAllControllers)
      if (find(c) == &group) mine.add(c);
    const ControlReader reader = [&](Controller, const char* file) { return group.dir.find(file); };
    const Usage part = group.version == 1 ? v1_usage(reader, mine) : v2_usage(reader, mine);
    take(sum.peak_memory_bytes, part.peak_memory_bytes);
    take(sum.memory_bytes, part.memory_bytes);
    take(sum.cpu_user, part.cpu_user);
    take(sum.cpu_system, part.cpu_system);
    take(sum.read_bytes, part.read_bytes);
    take(sum.write_bytes, part.write_bytes);
    take(sum.max_pids, part.max_pids);
    take(sum.pids, part.pids);
    take(sum.oom_kills, part.oom_kills);
  }
  return sum;
}

std::optional<std::uint64_t> Cgroup::oom_kills() const {
  const Group* memory = find(Controller::kMemory);
  if (memory == nullptr) return std::nullopt;
  const auto text = memory->dir.find(memory->version == 1 ? "memory.oom_control" : "memory.events");
  return text ? flat_value(*text, "oom_kill") : std::nullopt;
}

std::optional<std::uint64_t> Cgroup::pid_limit_hits() const {
  const auto text = read(Controller::kPids, "pids.events");
  return text ? flat_value(*text, "max") : std::nullopt;
}

}  // namespace caisson::sys
