#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "container/box_user.h"
#include "container/container_impl.h"
#include "container/disk.h"
#include "container/world.h"
#include "container/writable_layer.h"
#include "init/launcher.h"
#include "init/limits.h"
#include "init/seccomp.h"
#include "init/stage_clock.h"
#include "sys/idmap.h"
#include "sys/process.h"

namespace caisson::container {

Result<backend::Started> Container::start() {
  init::StageClock clock(preparation_.took);
  const sys::CgroupLayout& layout = preparation_.cgroups;
  Facts& facts = preparation_.facts;
  std::vector<std::string> warnings;
  if (facts.root && !facts.own_kernel)
    range_ = TRY(claim_ids(options_.id));
  else if (!facts.root)
    TRY(find_box_user(spec(), options_.rootfs, options_.data, facts, warnings));
  TRY(protect());
  plan_ = TRY(make_plan(spec(), options_.rootfs, facts, options_.data, range_.first));
  leave_out(options_.trial.without);
  TRY(preparation_.namespaces.set_owner(plan_.ids.root_uid(), plan_.ids.root_gid()));
  for (std::string& w : protection_.warnings) warnings.push_back(std::move(w));
  for (std::string& w : TRY(init::check_limits(spec(), layout))) warnings.push_back(std::move(w));
  clock.lap("plan");
  TRY(make_writable_layer(options_.data, options_.rootfs, facts.root, plan_.ids));
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

/// The holes that a trial must find: it runs no program but its own.
void Container::leave_out(std::string_view defence) {
  const auto drop = [this](const auto& is_one) { std::erase_if(plan_.steps, is_one); };
  if (defence == "kernel_files")
    drop([](const Step& step) {
      return std::holds_alternative<MaskPath>(step) || std::holds_alternative<ReadOnlyPath>(step);
    });
  // It belongs to an IPC namespace of one's own.
  if (defence == "shared_memory")
    drop([](const Step& step) {
      const auto* mount = std::get_if<MountFs>(&step);
      return mount != nullptr && mount->type == "mqueue";
    });
}

/// What an earlier run of the box may have left goes first.
Result<> Container::protect() {
  protection_.held.clear();
  remove_placeholders(options_.data);
  protection_ = TRY(prepare_protections(spec(), options_.data));
  preparation_.facts.protections = protection_.list;
  preparation_.facts.protected_in_root = protection_.in_root;
  return {};
}

Result<> Container::cleanup() {
  protection_.held.clear();
  remove_placeholders(options_.data);
  return InitSandbox::cleanup();
}

Result<> Container::finish_namespaces() {
  const Ids& ids = plan_.ids;
  const sys::IdRange range{ids.first_inside, ids.first, ids.count};
  sys::IdMap map{{range}, {range}};
  if (!plan_.facts.root && ids.count > 1)
    map = {sys::compose(sys::swap_map(0, ids.swapped_uid, ids.count),
                        sys::same_ids(plan_.facts.subuids, ids.count)),
           sys::compose(sys::swap_map(0, ids.swapped_gid, ids.count),
                        sys::same_ids(plan_.facts.subgids, ids.count))};
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
  world.trial = options_.trial.target;
  world.cgroups = TRY(cgroup_fds());
  const unsigned ipc = options_.trial.without == "shared_memory" ? 0 : CLONE_NEWIPC;
  return clone_init(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | ipc, [&](int control) {
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
