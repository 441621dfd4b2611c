#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "container/container_impl.h"
#include "container/disk.h"
#include "container/world.h"
#include "container/writable_layer.h"
#include "init/launcher.h"
#include "init/limits.h"
#include "init/seccomp.h"
#include "init/stage_clock.h"
#include "sys/process.h"

namespace caisson::container {

Result<backend::Started> Container::start() {
  init::StageClock clock(preparation_.took);
  const sys::CgroupLayout& layout = preparation_.cgroups;
  const Facts& facts = preparation_.facts;
  if (facts.root) range_ = TRY(claim_ids(options_.id));
  plan_ = TRY(make_plan(spec(), options_.rootfs, facts, options_.data, range_.first));
  TRY(preparation_.namespaces.set_owner(plan_.ids.first, plan_.ids.first));
  std::vector<std::string> warnings = plan_.warnings;
  for (std::string& w : TRY(init::check_limits(spec(), layout))) warnings.push_back(std::move(w));
  clock.lap("plan");
  TRY(make_writable_layer(options_.data, options_.rootfs, facts.root));
  clock.lap("files");
  const std::vector<std::string> granted = sys::capability_names(plan_.capabilities);
  seccomp_ = TRY(init::seccomp_program(spec(), {granted.begin(), granted.end()}, options_.cache));
  clock.lap("seccomp");
  TRY(make_cgroup(layout));
  clock.lap("cgroup");
  TRY(finish_namespaces());
  clock.lap("namespaces");
  TRY(start_init());
  clock.lap("clone");
  TRY(await_ready(warnings));
  clock.lap("rootfs");
  return backend::Started{::getpid(), init_pid(), 0, clock.take(), std::move(warnings)};
}

Result<> Container::finish_namespaces() {
  const Ids& ids = plan_.ids;
  const sys::IdRange range{ids.first_inside, ids.first, ids.count};
  sys::IdMap map{{range}, {range}};
  if (!plan_.facts.root && ids.count > 1)
    map = {sys::same_ids(plan_.facts.subuids, ids.count),
           sys::same_ids(plan_.facts.subgids, ids.count)};
  namespaces_ = TRY(preparation_.namespaces.finish(map));
  return {};
}

Result<> Container::start_init() {
  WorldOptions world;
  world.plan = &plan_;
  world.userns = namespaces_.user.get();
  if (plan_.network_namespace) world.network = namespaces_.network.get();
  const Fd launcher = plan_.facts.exposed_program ? TRY(init::make_launcher()) : Fd();
  world.launcher = launcher.get();
  world.seccomp = seccomp_;
  world.service = service_options();
  world.fail_at = options_.fail_at;
  world.cgroups = TRY(cgroup_fds());
  return clone_init(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS, [&](int control) {
    ContainerWorld built(std::move(world));
    init::run_init(control, built);
  });
}

bool Container::all_stopped(bool or_asleep) {
  Result<Fd> proc = open_at(root(), "proc", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  return proc && sys::all_stopped(proc->get(), or_asleep);
}

std::chrono::nanoseconds Container::processes_cpu_time() {
  Result<Fd> proc = open_at(root(), "proc", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  return proc ? sys::proc_cpu_time(proc->get()) : std::chrono::nanoseconds(0);
}

std::optional<std::uint64_t> Container::disk_bytes() {
  if (!spec().limits.disk_bytes) return std::nullopt;
  const std::uint64_t most = *spec().limits.disk_bytes;
  const std::uint64_t named = written_bytes(options_.data, options_.rootfs, most);
  // A file that was deleted and is still open takes its room all the same.
  return named > most || root() < 0 ? named : named + unlinked_bytes(root(), most - named);
}

std::unique_ptr<backend::Sandbox> make_container(ContainerOptions options,
                                                 Preparation preparation) {
  return std::make_unique<Container>(std::move(options), std::move(preparation));
}

}  // namespace caisson::container
