// What this host gives boxes, by trying it.
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

}  // namespace

Result<Capabilities> Runtime::probe() {
  Capabilities all;
  all.rows.push_back(try_container(*this));
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  for (sys::Controller controller : sys::kAllControllers) {
    const bool usable = layout.usable(controller);
    all.rows.push_back({format("cgroup_{}", sys::to_string(controller)), usable,
                        usable ? format("cgroup v{}", layout.find(controller)->version)
                               : layout.why_not(controller)});
  }
  return all;
}

}  // namespace caisson
