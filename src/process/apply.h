// ProcessWorld: what the init of a box without namespaces prepares and gives up.
#pragma once

#include "init/init.h"
#include "process/attributes.h"
#include "process/plan.h"

namespace caisson::process {

struct WorldOptions {
  const Plan* plan = nullptr;
  std::vector<int> cgroups;  ///< to join
  std::string_view seccomp;  ///< the program every exec gets
  files::ServiceOptions service;
  std::string_view trial;  ///< the target of attacks
  bool root = false;
  int claim = -1;        ///< of the box: it is there as long as we are
  unsigned fail_at = 0;  ///< the number of the rule that is to fail, from 1; for tests
};

class ProcessWorld final : public init::World {
 public:
  explicit ProcessWorld(WorldOptions options) : options_(std::move(options)) {}
  Result<Built> build() override;
  Result<> seal() override;
  init::ExecContext context() const override;
  std::vector<int> held() const override { return {options_.claim, attributes_.socket()}; }
  int event_fd() const override { return attributes_.event_fd(); }
  void on_event() override { attributes_.answer(); }
  void signal_all(int number) override;

 private:
  Result<> make_rules();

  WorldOptions options_;
  std::optional<sys::Landlock> rules_;
  Attributes attributes_;
};

}  // namespace caisson::process
