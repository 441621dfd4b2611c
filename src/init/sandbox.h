// InitSandbox: what all isolations share whose processes are forks of an init of ours.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/sandbox.h"
#include "init/exec_block.h"
#include "init/init_protocol.h"
#include "sys/cgroup.h"

namespace caisson::init {

class InitSandbox : public backend::Sandbox {
 public:
  Result<> signal(backend::ProcessId id, int number, bool group) override;
  int event_fd() const override { return epoll_.get(); }
  std::vector<backend::ProcessEvent> events() override;
  bool gone() const override { return init_ <= 0; }
  Result<> pause() override;
  Result<> resume() override;
  void end() override;
  void kill_all() override;
  Usage usage() override;
  std::uint64_t oom_kills() override { return cgroup_ ? cgroup_->oom_kills().value_or(0) : 0; }
  std::uint64_t pid_limit_hits() override {
    return cgroup_ ? cgroup_->pid_limit_hits().value_or(0) : 0;
  }
  std::chrono::nanoseconds cpu_time() override;
  Result<> cleanup() override;

 protected:
  InitSandbox(std::string id, BoxSpec spec) : id_(std::move(id)), spec_(std::move(spec)) {}
  /// To be called by the destructor of what is derived: nothing of the box is left afterwards.
  void destroy();

  Result<> make_cgroup(const sys::CgroupLayout& layout);
  /// Starts init in new namespaces (CLONE_NEW*) and the box's cgroups; `run` is init's whole life.
  Result<> clone_init(std::uint64_t namespaces, const std::function<void(int control)>& run);
  /// Descriptors for init to join. The v2 group needs none: init is born into it.
  Result<std::vector<int>> cgroup_fds();
  /// Waits until init has built its world.
  Result<> await_ready(std::vector<std::string>& warnings);
  Result<> spawn_image(backend::ProcessId id, const ProcessImage& image, backend::Stdio stdio);
  /// The limits of a process of the box.
  std::vector<ResourceLimit> process_limits() const;

  /// Without a freezer: whether everything that was told to stop stands still.
  virtual bool all_stopped(bool or_asleep) = 0;
  /// Without a cgroup: what all its processes have used so far.
  virtual std::chrono::nanoseconds processes_cpu_time() = 0;
  /// Init has been reaped; nothing of the box may be left after this.
  virtual void on_init_gone() {}

  const BoxSpec& spec() const { return spec_; }
  int root() const { return root_.get(); }
  int terminals() const { return terminals_.get(); }
  int init_pid() const { return init_; }

 private:
  struct Spawning {
    Fd status;
    std::vector<std::string> argv;
    std::string workdir;
  };
  Result<> watch(int fd) const;
  Result<> tell_init(const InitMessage& message, std::string_view action);
  bool freezes() const { return cgroup_ && cgroup_->has(sys::Controller::kFreezer); }
  backend::ProcessEvent started_or_failed(const ExecFailure* failure, backend::ProcessId id) const;
  void collect_status(std::vector<backend::ProcessEvent>& out);
  void collect_init();
  void reap_init(int flags);

  std::string id_;
  BoxSpec spec_;
  std::optional<sys::Cgroup> cgroup_;
  Fd epoll_, mounts_, control_, pidfd_, root_, terminals_;
  pid_t init_ = -1;
  std::map<backend::ProcessId, Spawning> spawning_;
  std::vector<backend::ProcessEvent> held_;  ///< ends that overtook their start
  Usage final_usage_;
  bool counts_processes_ = false;  ///< by a cgroup
  bool ended_ = false;
};

}  // namespace caisson::init
