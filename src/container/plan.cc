#include "container/plan.h"

#include <algorithm>

#include "spec/effective.h"

namespace caisson::container {
namespace {

constexpr std::uint64_t kShmBytes = 64ull << 20;

Ids choose_ids(const Facts& facts, std::uint32_t first_id) {
  if (facts.root) return {first_id, 0, sys::kIdsPerBox};
  // A single id can stand for any one id inside: the wanted one is the user's.
  if (facts.subuids.empty() || facts.subgids.empty()) return {0, facts.user_uid, 1};
  std::uint64_t uids = 1, gids = 1;
  for (const auto& r : facts.subuids) uids += r.count;
  for (const auto& r : facts.subgids) gids += r.count;
  Ids ids{0, 0, static_cast<std::uint32_t>(std::min<std::uint64_t>({uids, gids, sys::kIdsPerBox}))};
  if (facts.swap_ids && facts.user_uid < ids.count) ids.swapped_uid = facts.user_uid;
  if (facts.swap_ids && facts.user_gid < ids.count) ids.swapped_gid = facts.user_gid;
  return ids;
}

/// Builds the list of steps; one method per part of the file system.
class Planner final {
 public:
  Planner(const BoxSpec& spec, const Rootfs& rootfs, const std::string& data, Plan& plan)
      : spec_(spec),
        limits_(spec::effective_limits(spec)),
        rootfs_(rootfs),
        data_(data),
        plan_(plan) {}

  void run() {
    add(JoinCgroups{});
    add(PrivateMounts{});
    if (rootfs_.strategy == RootfsStrategy::kMerged)
      add(MountMerged{data_, writable_name(rootfs_), maps_ids()});
    else
      add(MountRoot{rootfs_.lowers, rootfs_.lower_parent, data_, writable_name(rootfs_),
                    maps_ids()});
    views();
    proc_and_sys();
    dev();
    if (rootfs_.private_tmp) add(tmpfs("/tmp", {}, {}, "1777"));
    user_mounts();
    hide();
    identity();
    const bool read_only = spec::effective_read_only_root(spec_);
    if (read_only) volumes();
    add(ChangeRoot{read_only});
  }

 private:
  void add(Step step) { plan_.steps.push_back(std::move(step)); }
  bool maps_ids() const { return plan_.facts.root && !plan_.facts.own_kernel; }

  MountFs tmpfs(const std::string& target, std::optional<std::uint64_t> size,
                std::optional<std::uint64_t> inodes, const std::string& mode,
                sys::MountFlags flags = {}) const {
    const std::uint64_t bytes = size ? *size : *limits_.tmpfs_bytes;
    const std::uint64_t count =
        inodes ? *inodes : limits_.tmpfs_inodes.value_or(std::max<std::uint64_t>(bytes / 4096, 16));
    return {"tmpfs",
            target,
            {{"size", std::to_string(bytes)},
             {"nr_inodes", std::to_string(count)},
             {"mode", mode},
             {"uid", std::to_string(plan_.ids.root_uid())},
             {"gid", std::to_string(plan_.ids.root_gid())}},
            flags};
  }

  void views() {
    for (const HostView& view : rootfs_.views)
      add(MountBind{view.path,
                    view.place.empty() ? view.path : view.place,
                    {.read_only = true},
                    maps_ids(),
                    IdMapping::kOff,
                    false,
                    view.alone});
  }

  void proc_and_sys() {
    const sys::MountFlags plain{.noexec = true};
    const sys::MountFlags read_only{.read_only = true, .noexec = true};
    add(MountFs{"proc", "/proc", {}, plain});
    // sysfs belongs to a network namespace; a user who does not own the host's can only show it.
    if (plan_.network_namespace || plan_.facts.root)
      add(MountFs{"sysfs", "/sys", {}, read_only});
    else
      add(MountBind{"/sys", "/sys", read_only, false, IdMapping::kOff});
    if (plan_.facts.unified_cgroup) add(MountFs{"cgroup2", "/sys/fs/cgroup", {}, read_only});
  }

  void dev() {
    const std::uint32_t tty_group =
        plan_.ids.gid_outside(plan_.ids.count > 5 ? 5 : plan_.ids.first_inside);
    add(tmpfs("/dev", 65536 * 16, 1024, "755", {.nodev = false, .noexec = true}));
    const bool bind = !plan_.facts.root;
    for (const auto& [name, minor] :
         {std::pair{"null", 3u}, {"zero", 5u}, {"full", 7u}, {"random", 8u}, {"urandom", 9u}})
      add(DeviceNode{name, 1, minor, bind});
    add(DeviceNode{"tty", 5, 0, bind});
    for (const auto& [text, path] : {std::pair{"/proc/self/fd", "/dev/fd"},
                                     {"/proc/self/fd/0", "/dev/stdin"},
                                     {"/proc/self/fd/1", "/dev/stdout"},
                                     {"/proc/self/fd/2", "/dev/stderr"},
                                     {"pts/ptmx", "/dev/ptmx"}})
      add(MakeSymlink{text, path});
    add(MountFs{"devpts",
                "/dev/pts",
                {{"newinstance", ""},
                 {"ptmxmode", "0666"},
                 {"mode", "0620"},
                 {"gid", std::to_string(tty_group)},
                 {"max", "1024"}},
                {.nodev = false, .noexec = true}});
    add(tmpfs("/dev/shm", kShmBytes, {}, "1777", {.noexec = true}));
    add(MountFs{"mqueue", "/dev/mqueue", {}, {.noexec = true}});
  }

  void user_mounts() {
    for (const Mount& m : spec_.mounts) {
      if (m.type == MountType::kTmpfs)
        add(tmpfs(m.target, m.size_bytes, m.inodes, format("{:o}", m.mode.value_or(01777)),
                  {.read_only = m.read_only}));
      else
        add(MountBind{m.source,
                      m.target,
                      {.read_only = m.read_only},
                      maps_ids(),
                      m.read_only ? IdMapping::kOff : m.idmap,
                      true});
    }
    for (const Protection& protection : plan_.facts.protections) add(ProtectPath{protection});
    for (const std::string& path : plan_.facts.protected_in_root) add(ProtectInRoot{path});
  }

  void hide() {
    for (const char* path :
         {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
          "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
          "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"})
      add(MaskPath{path});
    for (const char* path :
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})
      add(ReadOnlyPath{path});
  }

  /// An image's volumes are for what its program writes: they stay writable, unless something else
  /// is mounted there.
  void volumes() {
    for (const std::string& path : rootfs_.volumes)
      if (std::ranges::none_of(spec_.mounts, [&](const Mount& m) { return m.target == path; }))
        add(KeepWritable{path});
  }

  void identity() {
    add(SetHostname{spec_.hostname.empty() ? "caisson" : spec_.hostname});
    if (!plan_.network_namespace) return;
    add(RaiseLoopback{});
    // The box's root has no CAP_NET_BIND_SERVICE over its network namespace, which it does not
    // own; with these two, servers on port 80 and ping work all the same (ip-sysctl).
    add(WriteSysctl{"net/ipv4/ip_unprivileged_port_start", "0"});
    const std::uint32_t last = plan_.ids.first + plan_.ids.count - 1;
    add(WriteSysctl{"net/ipv4/ping_group_range", format("{} {}", plan_.ids.first, last)});
  }

  const BoxSpec& spec_;
  const Limits limits_;
  const Rootfs& rootfs_;
  const std::string& data_;
  Plan& plan_;
};

Result<> check_ids(const BoxSpec& spec, const Plan& plan) {
  if (plan.ids.count > 1) return {};
  if (!spec.groups.empty())
    return make_error(Code::kFailedPrecondition, "ids_unavailable",
                      "give supplementary groups to the box: this user has one id only",
                      "add ranges for the user to /etc/subuid and /etc/subgid");
  return {};
}

}  // namespace

sys::CapMask capabilities_of(const BoxSpec& spec) {
  const std::vector<std::string> names = spec::effective_capabilities(spec);
  sys::CapMask mask = 0;
  for (int cap = 0; cap <= sys::kLastCap; ++cap)
    if (std::ranges::count(names, sys::capability_name(cap)) != 0) mask |= sys::cap_bit(cap);
  return mask;
}

Result<Plan> make_plan(const BoxSpec& spec, const Rootfs& rootfs, const Facts& facts,
                       const std::string& data, std::uint32_t first_id) {
  Plan plan;
  plan.facts = facts;
  plan.ids = choose_ids(facts, first_id);
  plan.user = spec.user;
  plan.groups = spec.groups;
  plan.network_namespace = spec.network != Network::kUnsafeHostNetwork;
  plan.capabilities = capabilities_of(spec);
  plan.no_new_privileges = spec::effective_no_new_privileges(spec);
  TRY(check_ids(spec, plan));
  Planner(spec, rootfs, data, plan).run();
  return plan;
}

}  // namespace caisson::container
