// What this host gives boxes, by trying it.
#include "base/ulid.h"
#include "engine/box_impl.h"
#include "sys/cgroup.h"

namespace caisson {
namespace {

/// A whole box is the only honest test of the isolation: it is made, runs, and is removed.
Capability try_container(Runtime& runtime) {
  Capability row{.name = "container"};
  Result<Box> box = runtime.create({.source = "host:", .command = {"true"}});
  if (!box) {
    row.detail = box.error().message;
    return row;
  }
  Result<> started = box->start();
  Result<ExitInfo> end =
      started ? box->wait(in(std::chrono::seconds(30))) : Result<ExitInfo>(started.error());
  row.available = end && end->exit_code == 0;
  row.detail = row.available ? "a box ran"
               : end         ? "a box did not exit with 0"
                             : end.error().message;
  [[maybe_unused]] Result<> removed = box->remove(true);
  return row;
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
  Capability row{.name = format("cgroup_{}", sys::to_string(controller))};
  if (!layout.usable(controller)) {
    row.detail = layout.why_not(controller);
    return row;
  }
  Result<std::string> used = use(layout, controller);
  row.available = used.has_value();
  row.detail = used ? *used : used.error().message;
  return row;
}

}  // namespace

Result<Capabilities> Runtime::probe() {
  Capabilities all;
  all.rows.push_back(try_container(*this));
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  for (sys::Controller controller : sys::kAllControllers)
    all.rows.push_back(try_controller(layout, controller));
  return all;
}

}  // namespace caisson
