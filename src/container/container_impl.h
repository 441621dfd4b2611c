// Container's inside.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "container/container.h"
#include "container/exec_block.h"
#include "container/init_protocol.h"
#include "container/users.h"
#include "files/service.h"
#include "sys/cgroup.h"

namespace caisson::container {

class Container final : public backend::Sandbox {
 public:
  Container(ContainerOptions options, Preparation preparation)
      : options_(std::move(options)), preparation_(std::move(preparation)) {}
  ~Container() override {
    kill_all();
    if (init_ > 0) reap_init(0);
    [[maybe_unused]] Result<> cleaned = cleanup();
  }

  Result<backend::Started> start() override;
  Result<> spawn(backend::ProcessId id, const backend::ProcessSpec& spec,
                 backend::Stdio stdio) override;
  Result<> serve_files(backend::ProcessId id, Fd socket) override;
  Result<backend::Terminal> open_terminal(const std::string& user) override;
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
  std::optional<std::uint64_t> disk_bytes() override;
  Result<> cleanup() override;

 private:
  Result<> make_cgroup(const sys::CgroupLayout& layout);
  Result<> finish_namespaces();
  Result<> clone_init();
  Result<> await_ready(std::vector<std::string>& warnings);
  Result<User> look_up(const std::string& user, const std::vector<std::string>& groups) const;
  Result<> spawn_image(backend::ProcessId id, const ProcessImage& image, backend::Stdio stdio);
  files::ServiceOptions service_options() const;
  Result<ProcessImage> image_of(const backend::ProcessSpec& spec) const;
  Result<> watch(int fd) const;
  Result<> tell_init(const InitMessage& message, std::string_view action);
  backend::ProcessEvent started_or_failed(const ExecFailure* failure, backend::ProcessId id) const;
  void collect_status(std::vector<backend::ProcessEvent>& out);
  void collect_init(std::vector<backend::ProcessEvent>& out);
  void reap_init(int flags);

  struct Spawning {
    Fd status;
    std::vector<std::string> argv;
    std::string workdir;
  };

  ContainerOptions options_;
  Preparation preparation_;
  Plan plan_;
  std::optional<sys::Cgroup> cgroup_;
  sys::ClaimedRange range_;
  sys::Namespaces namespaces_;
  Fd epoll_, mounts_, control_, pidfd_, root_, pts_;
  std::string seccomp_;
  pid_t init_ = -1;
  std::map<backend::ProcessId, Spawning> spawning_;
  std::vector<backend::ProcessEvent> held_;  ///< ends that overtook their start
  Usage final_usage_;
  bool counts_processes_ = true;  ///< by a cgroup
  bool ended_ = false;
};

}  // namespace caisson::container
