// The isolations without a root of their own: `process` and `host`.
#pragma once

#include <memory>

#include "backend/sandbox.h"
#include "process/plan.h"
#include "sys/cgroup.h"

namespace caisson::process {

struct ProcessOptions {
  std::string id;
  BoxSpec spec;
  std::string data;   ///< the box's directory
  std::string cache;  ///< of compiled filters
  int claim = -1;     ///< a descriptor that says that the box is there
  unsigned fail_at = 0;
  backend::Trial trial;  ///< without a target: none
};

Facts gather_facts();

std::unique_ptr<backend::Sandbox> make_process(ProcessOptions options);

}  // namespace caisson::process
