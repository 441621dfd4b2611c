// The part of Cgroup that stops, kills and clears away what runs in it.
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "base/scope_exit.h"
#include "sys/cgroup.h"

namespace caisson::sys {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 2s;
// A process in an uninterruptible sleep cannot be frozen; killing must not wait for it long.
constexpr auto kFreezeBeforeKill = 100ms;

bool frozen(const ControlDir& dir, int version) {
  if (version == 1) return dir.find("freezer.state").value_or("").starts_with("FROZEN");
  return flat_value(dir.find("cgroup.events").value_or(""), "frozen") == 1u;
}

Result<> start_freezing(const ControlDir& dir, int version) {
  return version == 1 ? dir.write("freezer.state", "FROZEN") : dir.write("cgroup.freeze", "1");
}

Result<> start_thawing(const ControlDir& dir, int version) {
  return version == 1 ? dir.write("freezer.state", "THAWED") : dir.write("cgroup.freeze", "0");
}

Result<bool> freeze_within(const ControlDir& dir, int version, std::chrono::nanoseconds limit) {
  TRY(start_freezing(dir, version));
  Backoff backoff(limit);
  while (!frozen(dir, version)) {
    if (!backoff.wait()) return false;
    // v1 marks only the tasks it sees: a fork during freezing is caught by asking again.
    if (version == 1) TRY(start_freezing(dir, version));
  }
  return true;
}

}  // namespace

Result<> Cgroup::freeze() {
  const Group* group = find(Controller::kFreezer);
  if (group == nullptr)
    return make_error(Code::kUnimplemented, "freezer_unavailable",
                      format("freeze box '{}': it has no freezer cgroup", id_));
  if (TRY(freeze_within(group->dir, group->version, kPatience))) return {};
  TRY(start_thawing(group->dir, group->version));
  return make_error(Code::kDeadlineExceeded, "freeze_timeout",
                    format("freeze box '{}': a process did not stop within 2 s", id_));
}

Result<> Cgroup::thaw() {
  const Group* group = find(Controller::kFreezer);
  if (group == nullptr)
    return make_error(Code::kUnimplemented, "freezer_unavailable",
                      format("thaw box '{}': it has no freezer cgroup", id_));
  return start_thawing(group->dir, group->version);
}

/// Where the processes are listed. Any group has them all: they enter all groups before they run
/// anything of the box.
const Cgroup::Group* Cgroup::process_group() const {
  if (const Group* group = find_v2()) return group;
  if (const Group* group = find(Controller::kFreezer)) return group;
  return groups_.empty() ? nullptr : &groups_.front();
}

std::vector<int> Cgroup::pids() const {
  std::vector<int> pids;
  if (const Group* group = process_group()) group->dir.collect_pids(pids);
  return pids;
}

Result<> Cgroup::kill_all() {
  const Group* freezer = find(Controller::kFreezer);
  const Group* v2 = find_v2();
  Backoff backoff(kPatience);
  while (!pids().empty()) {
    // cgroup.kill reaches every process at once (kernel 5.14); before it and on v1 the group is
    // frozen first, so that no process forks away or hands its number on under our hands.
    if (v2 == nullptr || !v2->dir.write("cgroup.kill", "1")) {
      ScopeExit thaw([&] {
        if (freezer != nullptr) static_cast<void>(start_thawing(freezer->dir, freezer->version));
      });
      if (freezer != nullptr)
        static_cast<void>(freeze_within(freezer->dir, freezer->version, kFreezeBeforeKill));
      for (int pid : pids()) ::kill(pid, SIGKILL);
    }
    if (!backoff.wait() && !pids().empty())
      return make_error(
          Code::kDeadlineExceeded, "kill_timeout",
          format("kill box '{}': {} processes are left after 2 s", id_, pids().size()));
  }
  return {};
}

Result<> Cgroup::remove() {
  Result<> result;
  Backoff backoff(kPatience);
  for (const Group& group : groups_) {
    const std::string& path = group.dir.path();
    while (::rmdir(path.c_str()) < 0 && errno != ENOENT) {
      // EBUSY: groups below, or processes that have not finished dying.
      if (errno != EBUSY && errno != ENOTEMPTY) {
        if (result) result = sys_error("remove cgroup", path);
        break;
      }
      static_cast<void>(group.dir.remove_children());
      if (backoff.wait()) continue;
      if (result)
        result =
            make_error(Code::kFailedPrecondition, "cgroup_busy",
                       format("remove cgroup '{}': {} processes live in it", path, pids().size()));
      break;
    }
  }
  return result;
}

}  // namespace caisson::sys
