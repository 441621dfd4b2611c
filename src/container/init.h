// The box's first process (PID 1): sets the box up, gives up its privileges, then forks every exec
// and reaps.
#pragma once

#include <string_view>
#include <vector>

#include "container/plan.h"
#include "files/service.h"

namespace caisson::container {

struct InitOptions {
  const Plan* plan = nullptr;
  std::vector<int> cgroups;  ///< cgroup.procs files to join
  int userns = -1;           ///< the inner user namespace
  int network = -1;          ///< the network namespace to join; -1: the host's
  int control = -1;          ///< the SOCK_SEQPACKET to the shim
  int launcher = -1;         ///< see launcher.h; -1: none is needed
  std::string_view seccomp;  ///< the program every exec gets
  files::ServiceOptions service;
  unsigned fail_at = 0;  ///< see Apply::run
};

[[noreturn]] void run_init(const InitOptions& options);

}  // namespace caisson::container
