// Cgroup: the control groups of one box, one per hierarchy that this host offers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sys/cgroup_control.h"
#include "sys/cgroup_dir.h"
#include "sys/cgroup_layout.h"

namespace caisson::sys {

/// The groups `<base>/caisson/<id>` of one box. A handle: destroying it changes nothing on the
/// host; remove() does. Thread-compatible.
///
///     Cgroup group = TRY(Cgroup::create(layout, id, {.memory_bytes = 64 << 20}));
///     const std::vector<int> fds = TRY(group.join_fds());
///     if (fork() == 0) { if (join_cgroups(fds.data(), fds.size()) != 0) _exit(1); ... }
class Cgroup final {
 public:
  /// Makes the groups in every usable hierarchy and sets the limits, before any process exists.
  /// A failure undoes everything. A limit whose controller is missing is `limit_unsupported`.
  static Result<Cgroup> create(const CgroupLayout& layout, const std::string& id,
                               const CgroupLimits& limits);
  /// The groups of `id` that exist now; `cgroup_not_found` when there is none.
  static Result<Cgroup> open(const CgroupLayout& layout, const std::string& id);

  /// The controller really works in this group.
  bool has(Controller controller) const { return find(controller) != nullptr; }
  /// The group's directories, for records and messages.
  std::vector<std::string> paths() const;

  /// How the v2 group is entered.
  enum class Join {
    kByWrite,  ///< through a descriptor, like the v1 groups
    kByClone,  ///< clone3(CLONE_INTO_CGROUP) with clone_fd(): no descriptor needed
  };
  /// Descriptors for join_cgroups(), owned by this object.
  /// A write to cgroup.procs takes a host-wide lock whose first writer after a quiet moment waits
  /// for an RCU grace period (6 to 16 ms measured); a thread's move of itself through v1 `tasks`
  /// and CLONE_INTO_CGROUP do not. So v1 groups are entered through `tasks`, and a start that is
  /// to be quick on v2 uses kByClone.
  Result<std::vector<int>> join_fds(Join v2 = Join::kByWrite);
  /// The directory of the v2 group for clone_args.cgroup, or -1.
  int clone_fd() const;

  Usage usage() const;
  /// Processes ended by the OOM killer, forks refused by the pids limit; absent when not known.
  std::optional<std::uint64_t> oom_kills() const;
  std::optional<std::uint64_t> pid_limit_hits() const;

  /// Sets the limits that are present.
  Result<> update(const CgroupLimits& limits);

  /// Returns when every process stands still. `freezer_unavailable`, `freeze_timeout`.
  Result<> freeze();
  Result<> thaw();
  /// SIGKILL to every process; returns when none is left. `kill_timeout` after two seconds.
  Result<> kill_all();
  /// All processes in the group and below, as seen from our pid namespace.
  std::vector<int> pids() const;
  /// Removes the groups with those that the box made below them; waits up to two seconds for the
  /// last processes to be gone. May be called again. The shared `caisson` group stays.
  Result<> remove();

 private:
  struct Group {
    int version;
    ControllerSet controllers;
    ControlDir dir;
    std::string missing;  // why a v2 controller that the host has is not in `controllers`
    Fd join;
  };

  Cgroup(std::string id, bool host_has_swap) : id_(std::move(id)), host_has_swap_(host_has_swap) {}
  static Result<Group> make_group(const CgroupHierarchy& hierarchy, const std::string& id);
  static Result<Group> open_group(const CgroupHierarchy& hierarchy, const std::string& id);

  const Group* find(Controller controller) const;
  const Group* find_v2() const;
  const Group* process_group() const;
  std::optional<std::string> read(Controller controller, const char* file) const;
  Result<> require(const CgroupLayout& layout, const CgroupLimits& limits) const;
  Result<std::vector<ControlWrite>> limit_writes(int version, const CgroupLimits& limits) const;
  Result<> apply(const CgroupLimits& limits);

  std::string id_;
  bool host_has_swap_;
  std::vector<Group> groups_;
};

/// Moves the calling thread into the groups; the process must have no other thread.
/// Async-signal-safe. Returns 0 or an errno value.
int join_cgroups(const int* fds, std::size_t count) noexcept;

}  // namespace caisson::sys
