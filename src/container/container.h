// Container: the sandbox made of namespaces, cgroups, seccomp and capabilities.
#pragma once

#include <memory>

#include "backend/sandbox.h"
#include "container/plan.h"
#include "spec/rootfs.h"
#include "sys/cgroup.h"
#include "sys/userns.h"

namespace caisson::container {

struct ContainerOptions {
  std::string id;
  BoxSpec spec;
  Rootfs rootfs;
  std::string data;      ///< the box's directory
  std::string cache;     ///< of compiled filters
  std::string ids_lock;  ///< the machine's file of claimed id ranges
  unsigned fail_at = 0;  ///< see Apply::run
};

/// What every box needs, whichever it is.
struct Preparation {
  sys::CgroupLayout cgroups;
  Facts facts;
  sys::NewNamespaces namespaces;
  std::chrono::nanoseconds took{0};
};

/// Prepares a box before it is known which one. An ordinary user's process is in its outer user
/// namespace afterwards.
Result<Preparation> prepare();

/// Moves this process of an ordinary user to where it has the ids that its boxes have.
Result<> enter_box_ids();

std::unique_ptr<backend::Sandbox> make_container(ContainerOptions options, Preparation preparation);

}  // namespace caisson::container
