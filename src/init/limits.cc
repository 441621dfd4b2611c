#include "init/limits.h"

#include <algorithm>

#include "spec/effective.h"

namespace caisson::init {
namespace {

using sys::Controller;

constexpr std::uint64_t kDefaultOpenFiles = 1024, kDefaultOpenFilesHard = 524288;

std::chrono::nanoseconds of(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

std::uint64_t hard_limit(__rlimit_resource resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  return limit.rlim_max;
}

struct Asked {
  const char* name;
  bool set;
  Controller controller;
};

std::vector<Asked> asked_of_cgroups(const Limits& limits) {
  return {{"memory", limits.memory_bytes.has_value(), Controller::kMemory},
          {"pids", limits.pids.has_value(), Controller::kPids},
          {"cpus", limits.cpus.has_value(), Controller::kCpu},
          {"cpu_weight", limits.cpu_weight.has_value(), Controller::kCpu}};
}

}  // namespace

bool limits_need_host(const BoxSpec& spec) {
  return spec.limits.open_files || std::ranges::any_of(asked_of_cgroups(spec.limits), &Asked::set);
}

Result<std::vector<std::string>> check_limits(const BoxSpec& spec,
                                              const sys::CgroupLayout& layout) {
  std::vector<std::string> warnings;
  for (const Asked& limit : asked_of_cgroups(spec.limits)) {
    if (!limit.set || layout.usable(limit.controller)) continue;
    const std::string why = layout.why_not(limit.controller);
    if (!spec.allow_missing.contains(limit.name))
      return make_error(Code::kFailedPrecondition, "limit_unsupported",
                        format("enforce limit '{}': {}", limit.name, why),
                        format("--allow-missing={} starts the box without it", limit.name));
    warnings.push_back(format("limit '{}' is not enforced: {}", limit.name, why));
  }
  const std::uint64_t files = hard_limit(RLIMIT_NOFILE);
  if (spec.limits.open_files && *spec.limits.open_files > files)
    return make_error(Code::kFailedPrecondition, "limit_unsupported",
                      format("enforce limit 'open_files': {} is above this process's hard limit {}",
                             *spec.limits.open_files, files),
                      "raise the caller's hard limit (ulimit -Hn)");
  if (!spec.limits.pids && !layout.usable(Controller::kPids))
    warnings.push_back(
        format("the number of processes is limited for each user of the box only: {}",
               layout.why_not(Controller::kPids)));
  return warnings;
}

bool any_cgroup(const sys::CgroupLayout& layout) {
  return std::ranges::any_of(layout.hierarchies, [](const auto& h) { return !h.base.empty(); });
}

sys::CgroupLimits cgroup_limits(const BoxSpec& spec, const sys::CgroupLayout& layout) {
  sys::CgroupLimits limits;
  if (layout.usable(Controller::kMemory)) limits.memory_bytes = spec.limits.memory_bytes;
  if (layout.usable(Controller::kPids)) limits.pids = spec::effective_limits(spec).pids;
  if (layout.usable(Controller::kCpu)) {
    limits.cpus = spec.limits.cpus;
    limits.cpu_weight = spec.limits.cpu_weight;
  }
  return limits;
}

std::vector<ResourceLimit> resource_limits(const BoxSpec& spec) {
  const std::uint64_t files = hard_limit(RLIMIT_NOFILE);
  std::vector<ResourceLimit> limits = {{RLIMIT_CORE, 0, 0}};
  if (spec.limits.open_files)
    limits.push_back({RLIMIT_NOFILE, *spec.limits.open_files, *spec.limits.open_files});
  else
    limits.push_back({RLIMIT_NOFILE, std::min(kDefaultOpenFiles, files),
                      std::min(kDefaultOpenFilesHard, files)});
  // One file cannot be larger than the whole disk: this bounds what can be written between two
  // looks at the disk's use.
  std::optional<std::uint64_t> size = spec.limits.file_size_bytes;
  if (spec.limits.disk_bytes) size = std::min(size.value_or(UINT64_MAX), *spec.limits.disk_bytes);
  if (size) {
    const std::uint64_t bytes = std::min(*size, hard_limit(RLIMIT_FSIZE));
    limits.push_back({RLIMIT_FSIZE, bytes, bytes});
  }
  return limits;
}

ResourceLimit process_limit(const BoxSpec& spec) {
  const std::uint64_t most = std::min(*spec::effective_limits(spec).pids, hard_limit(RLIMIT_NPROC));
  return {RLIMIT_NPROC, most, most};
}

void fill_from_accounts(Usage& usage, const rusage& used, const std::optional<sys::ProcessIo>& io) {
  // Both accounts are lower bounds: a cgroup may count in timer ticks, so that short runs have
  // none; wait4(2) counts exactly, but only what init has reaped.
  usage.cpu_user = std::max(usage.cpu_user.value_or(of(used.ru_utime)), of(used.ru_utime));
  usage.cpu_system = std::max(usage.cpu_system.value_or(of(used.ru_stime)), of(used.ru_stime));
  // Task accounts count a buffered write when the page is dirtied; cgroup v1 does not see it.
  if (!usage.read_bytes && io) usage.read_bytes = io->read_bytes;
  if (!usage.write_bytes && io) usage.write_bytes = io->write_bytes;
  if (!usage.peak_memory_bytes && used.ru_maxrss > 0)
    usage.peak_memory_bytes = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
}

std::vector<std::string> search_path(const std::string& program, std::string_view path) {
  if (program.find('/') != std::string::npos) return {program};
  std::vector<std::string> candidates;
  for (;;) {
    const auto end = path.find(':');
    const std::string_view directory = path.substr(0, end);
    candidates.push_back(directory.empty() ? "./" + program
                                           : std::string(directory) + "/" + program);
    if (end == path.npos) return candidates;
    path.remove_prefix(end + 1);
  }
}

}  // namespace caisson::init
