// ContainerWorld: what the init of a container builds and gives up.
#pragma once

#include <optional>

#include "container/apply.h"
#include "init/init.h"

namespace caisson::container {

struct WorldOptions {
  const Plan* plan = nullptr;
  std::vector<int> cgroups;  ///< cgroup.procs files to join
  int userns = -1;           ///< the inner user namespace
  int network = -1;          ///< the network namespace to join; -1: the host's
  int launcher = -1;         ///< see init/launcher.h; -1: none is needed
  std::string_view seccomp;  ///< the program every exec gets
  files::ServiceOptions service;
  std::string_view trial;  ///< the target of attacks
  unsigned fail_at = 0;    ///< see Apply::run
};

class ContainerWorld final : public init::World {
 public:
  explicit ContainerWorld(WorldOptions options) : options_(std::move(options)) {}
  Result<Built> build() override;
  Result<> seal() override;
  init::ExecContext context() const override;
  void signal_all(int number) override;

 private:
  WorldOptions options_;
};

}  // namespace caisson::container
