// From a spec's limits to what enforces them: cgroups, rlimits, timers.
#pragma once

#include <sys/resource.h>

#include <optional>
#include <string>
#include <vector>

#include "caisson/spec.h"
#include "init/exec_block.h"
#include "sys/cgroup_control.h"
#include "sys/cgroup_layout.h"
#include "sys/process.h"

namespace caisson::init {

/// Whether anything was asked for that a host may be unable to enforce.
bool limits_need_host(const BoxSpec& spec);

/// Refuses limits that were asked for and cannot be enforced here (`limit_unsupported`), unless
/// the spec allows them to be missing. Returns warnings about defaults that are not enforced.
Result<std::vector<std::string>> check_limits(const BoxSpec& spec, const sys::CgroupLayout& layout);

/// Whether any hierarchy can be used.
bool any_cgroup(const sys::CgroupLayout& layout);
/// The limits that the usable controllers are to enforce, the profile's defaults included.
sys::CgroupLimits cgroup_limits(const BoxSpec& spec, const sys::CgroupLayout& layout);
/// Limits per process.
std::vector<ResourceLimit> resource_limits(const BoxSpec& spec);
/// Most processes of one user of the box, for where no cgroup counts them all. The kernel counts
/// per user and user namespace, so neither other boxes nor the caller's processes matter.
ResourceLimit process_limit(const BoxSpec& spec);

/// Completes figures that no cgroup gave from wait4(2) and /proc/<pid>/io.
void fill_from_accounts(Usage& usage, const rusage& used, const std::optional<sys::ProcessIo>& io);

/// The paths at which `program` may be: itself when it has a slash, else along `path`.
std::vector<std::string> search_path(const std::string& program, std::string_view path);

}  // namespace caisson::init
