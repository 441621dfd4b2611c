// Facilities of the host, each used once.
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <climits>

#include "base/ulid.h"
#include "container/facts.h"
#include "engine/probe.h"
#include "sys/cgroup.h"
#include "sys/filesystem.h"
#include "sys/landlock.h"
#include "sys/mount.h"
#include "sys/userns.h"

namespace caisson::engine {
namespace {

Capability host_row(std::string name, Proof proof, std::string detail, std::string hint = {}) {
  return {"", std::move(name), proof, false, std::move(detail), std::move(hint)};
}

sys::CgroupLimits limit_of(sys::Controller controller) {
  switch (controller) {
    case sys::Controller::kMemory:
      return {.memory_bytes = 64u << 20};
    case sys::Controller::kPids:
      return {.pids = 64};
    case sys::Controller::kCpu:
      return {.cpu_weight = 100, .cpus = 1.0};
    default:
      return {};
  }
}

Result<> freeze_and_thaw(sys::Cgroup& group) {
  TRY(group.freeze());
  return group.thaw();
}

/// Makes a group, sets the controller's limit or uses what it does, and removes the group.
Result<std::string> use(const sys::CgroupLayout& layout, sys::Controller controller) {
  const std::string id = "probe-" + TRY(make_ulid());
  sys::Cgroup group = TRY(sys::Cgroup::create(layout, id, limit_of(controller)));
  Result<> used;
  if (!group.has(controller))
    used = make_error(Code::kUnimplemented, "cgroup_incomplete",
                      format("the new group has no controller {}", sys::to_string(controller)));
  else if (controller == sys::Controller::kFreezer)
    used = freeze_and_thaw(group);
  else if (controller == sys::Controller::kCpuacct && !group.usage().cpu_user)
    used = make_error(Code::kUnimplemented, "cgroup_incomplete", "the new group has no CPU time");
  Result<> removed = group.remove();
  TRY(std::move(used));
  TRY(std::move(removed));
  return format("cgroup v{}", layout.find(controller)->version);
}

Capability try_controller(const sys::CgroupLayout& layout, sys::Controller controller) {
  const std::string name = format("cgroup_{}", sys::to_string(controller));
  if (!layout.usable(controller))
    return host_row(name, Proof::kUnavailable, layout.why_not(controller),
                    ::geteuid() == 0 ? ""
                                     : "delegate a cgroup v2 subtree to the user, "
                                       "e.g. systemd-run --user -p Delegate=yes --scope");
  Result<std::string> used = use(layout, controller);
  if (used) return host_row(name, Proof::kProved, *used);
  const Proof proof =
      used.error().code == Code::kUnimplemented ? Proof::kUnavailable : Proof::kFailed;
  return host_row(name, proof, used.error().message, used.error().hint);
}

Capability try_user_namespaces() {
  const int err = sys::try_user_namespace();
  if (err == 0) return host_row("user_namespaces", Proof::kProved, "one was made");
  return host_row("user_namespaces", Proof::kUnavailable, errno_text(err),
                  sys::userns_hint(err, sys::userns_switches()));
}

/// What may forbid user namespaces to ordinary users; a box of root's does not need them.
Capability look_at_userns_limits() {
  const sys::UsernsSwitches switches = sys::userns_switches();
  if (switches.clone_forbidden || switches.none_allowed)
    return host_row(
        "userns_sysctls", Proof::kUnavailable,
        switches.none_allowed ? "user.max_user_namespaces=0" : "kernel.unprivileged_userns_clone=0",
        sys::userns_hint(switches.none_allowed ? ENOSPC : EPERM, switches));
  return host_row("userns_sysctls", Proof::kProved, "nothing forbids user namespaces");
}

Capability look_at_apparmor() {
  const sys::UsernsSwitches switches = sys::userns_switches();
  if (switches.apparmor_restricts)
    return host_row("userns_apparmor", Proof::kUnavailable,
                    "kernel.apparmor_restrict_unprivileged_userns=1",
                    sys::userns_hint(EPERM, switches));
  return host_row(
      "userns_apparmor", Proof::kProved,
      switches.apparmor ? "AppArmor does not restrict user namespaces" : "AppArmor is not enabled");
}

Result<Capability> try_subordinate_ids() {
  const container::Facts facts = TRY(container::gather_facts({}));
  if (facts.root)
    return host_row("subordinate_ids", Proof::kProved, "root needs none: ranges are claimed");
  std::uint64_t count = 0;
  for (const sys::IdRange& range : facts.subuids) count += range.count;
  if (count > 0 && !facts.subgids.empty())
    return host_row("subordinate_ids", Proof::kProved, format("{} ids", count));
  return host_row("subordinate_ids", Proof::kUnavailable, "boxes of this user have one id",
                  "install uidmap and add ranges to /etc/subuid and /etc/subgid");
}

Capability try_landlock() {
  const Result<int> abi = sys::landlock_abi();
  return abi ? host_row("landlock", Proof::kProved, format("ABI {}", *abi))
             : host_row("landlock", Proof::kUnavailable, abi.error().message, abi.error().hint);
}

/// The root of the trial's container was one, on the file system of this home.
Capability try_overlay(const Runtime::Impl& runtime, const std::vector<Capability>& container) {
  const Result<Fd> home = open_fd(runtime.layout.home, O_PATH | O_DIRECTORY);
  const Result<sys::Filesystem> on = home ? sys::filesystem_of(home->get()) : home.error();
  const bool works = !container.empty() && container.front().proof == Proof::kProved;
  const std::string where =
      format("on {}, {}", on ? on->name : "an unknown file system", runtime.layout.home);
  if (works) return host_row("overlay", Proof::kProved, where);
  return host_row("overlay", Proof::kUnavailable,
                  format("{}: {}", where, container.empty() ? "" : container.front().detail));
}

Capability try_idmap(const std::string& name, const std::string& path) {
  const auto unavailable = [&](const std::string& why, const std::string& hint) {
    return host_row(name, Proof::kUnavailable, format("{}: {}", path, why), hint);
  };
  if (::geteuid() != 0)
    return unavailable("an ordinary user cannot map ids of mounts",
                       "the user namespace swaps the caller's id and the box's user instead");
  const auto attempt = [&]() -> Result<std::string> {
    const Fd place = TRY(open_fd(path, O_PATH | O_DIRECTORY));
    std::string on = TRY(sys::filesystem_of(place.get())).name;
    const std::vector<sys::IdRange> ids = {{0, 100'000, 65'536}};
    const Fd map = TRY(sys::make_user_namespace({ids, ids}));
    const Fd tree = TRY(sys::clone_mount(place.get(), path, sys::Below::kExclude));
    TRY(sys::set_idmap(tree.get(), map.get(), on));
    return on;
  };
  const Result<std::string> on = attempt();
  if (on) return host_row(name, Proof::kProved, format("on {}, {}", *on, path));
  return unavailable(on.error().message, "volumes there are mounted with their own ids");
}

Capability look_at_kvm() {
  const bool opens = ::access("/dev/kvm", R_OK | W_OK) == 0;
  return host_row("kvm", Proof::kUnavailable,
                  opens ? "/dev/kvm opens, but no guest was booted: nothing here uses it yet"
                        : "/dev/kvm cannot be opened",
                  opens ? "" : "load kvm_intel or kvm_amd, and join the group kvm");
}

std::string working_directory() {
  char path[PATH_MAX];
  return ::getcwd(path, sizeof path) == nullptr ? "/" : path;
}

}  // namespace

Capability try_working_directory() { return try_idmap("idmap_here", working_directory()); }

Result<std::vector<Capability>> try_host(const Runtime::Impl& runtime,
                                         const std::vector<Capability>& container) {
  std::vector<Capability> rows;
  utsname names{};
  ::uname(&names);
  rows.push_back(host_row("kernel", Proof::kProved, format("{} {}", names.release, names.machine)));
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  for (sys::Controller controller : sys::kAllControllers)
    rows.push_back(try_controller(layout, controller));
  rows.push_back(try_user_namespaces());
  rows.push_back(look_at_userns_limits());
  rows.push_back(look_at_apparmor());
  rows.push_back(TRY(try_subordinate_ids()));
  rows.push_back(try_landlock());
  rows.push_back(try_overlay(runtime, container));
  rows.push_back(try_idmap("idmap_home", runtime.layout.home));
  rows.push_back(look_at_kvm());
  return rows;
}

}  // namespace caisson::engine
