// Container's inside.
#pragma once

#include <string>
#include <vector>

#include "container/container.h"
#include "files/service.h"
#include "init/sandbox.h"
#include "init/users.h"

namespace caisson::container {

class Container final : public init::InitSandbox {
 public:
  Container(ContainerOptions options, Preparation preparation)
      : InitSandbox(options.id, std::move(options.spec)),
        options_(std::move(options)),
        preparation_(std::move(preparation)) {}
  ~Container() override { destroy(); }

  Result<backend::Started> start() override;
  Result<> spawn(backend::ProcessId id, const backend::ProcessSpec& spec,
                 backend::Stdio stdio) override;
  Result<> serve_files(backend::ProcessId id, Fd socket) override;
  Result<backend::Terminal> open_terminal(const std::string& user) override;
  std::optional<std::uint64_t> disk_bytes() override;
  Result<> cleanup() override;

 private:
  Result<> protect();
  void leave_out(std::string_view defence);
  Result<> finish_namespaces();
  Result<> start_init();
  bool all_stopped(bool or_asleep) override;
  std::chrono::nanoseconds processes_cpu_time() override;
  Result<init::User> look_up(const std::string& user, const std::vector<std::string>& groups) const;
  files::ServiceOptions service_options() const;
  Result<init::ProcessImage> image_of(const backend::ProcessSpec& spec) const;

  ContainerOptions options_;
  Preparation preparation_;
  Plan plan_;
  Protections protection_;
  sys::ClaimedRange range_;
  sys::Namespaces namespaces_;
  std::string seccomp_;
};

}  // namespace caisson::container
