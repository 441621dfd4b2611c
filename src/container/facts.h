// Facts of this host and caller, for the planner.
#pragma once

#include "container/plan.h"
#include "sys/cgroup_layout.h"

namespace caisson::container {

Result<Facts> gather_facts(const sys::CgroupLayout& cgroups);

}  // namespace caisson::container
