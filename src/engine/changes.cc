#include "engine/changes.h"

#include <unistd.h>

#include "base/ulid.h"

namespace caisson::engine {
namespace {

constexpr const char* kSnapshot = "pack-";

/// Snapshots of those that were killed before they could remove them: their directory is gone.
Result<> forget_abandoned(Box& box, const Runtime::Impl& runtime) {
  TRY(clear_staging(runtime));
  for (const SnapshotInfo& info : TRY(box.snapshots())) {
    if (!info.name.starts_with(kSnapshot)) continue;
    const std::string id = info.name.substr(std::string_view(kSnapshot).size());
    if (is_ulid(id) && ::access(runtime.path("fetch/staging/" + id).c_str(), F_OK) != 0)
        [[maybe_unused]]
      const Result<> removed = box.remove_snapshot(info.name);
  }
  return {};
}

}  // namespace

Result<Moment> Moment::of(Box box, const Box::Impl& impl, const Staging& staging) {
  TRY(forget_abandoned(box, *impl.runtime));
  const std::string name = kSnapshot + staging.id();
  TRY(box.snapshot(name));
  std::optional<store::SnapshotRow> snapshot = TRY(impl.runtime->snapshots.find(impl.id, name));
  if (snapshot) return Moment(std::move(box), std::move(*snapshot));
  return make_error(Code::kNotFound, "box_not_found", format("pack box '{}': it is gone", impl.id));
}

Moment::~Moment() {
  if (snapshot_.name.empty()) return;
  [[maybe_unused]] const Result<> removed = box_.remove_snapshot(snapshot_.name);
}

bool is_on_disk(const Rootfs& before, const Rootfs& after) {
  return !before.saved.empty() || !after.saved.empty();
}

Result<> compare_disks(const Runtime::Impl& runtime, const BoxSpec& spec, const Rootfs& before,
                       const Rootfs& after, bool layer, int output) {
  const Staging staging = TRY(Staging::make(runtime));
  backend::CompareRequest request;
  request.directory = runtime.path("fetch/staging/" + staging.id());
  request.old = before.saved;
  request.old_lowers = static_cast<std::uint32_t>(before.lowers.size());
  request.layer = layer;
  backend::StartRequest& box = request.box;
  box.id = staging.id();
  box.layout = runtime.layout;
  box.guest = find_guest(runtime.options, TRY(find_shim(runtime.options)));
  box.rootfs = after;
  box.rootfs.views.clear();
  box.spec = spec;
  // What is not the box's own is left out, and nothing of it runs.
  box.spec.mounts.clear();
  box.spec.protect.clear();
  box.spec.protect_defaults = false;
  box.spec.user = "0:0";
  box.spec.limits.disk_bytes_per_second.reset();
  box.spec.limits.disk_operations_per_second.reset();
  return ask_shim(runtime, request, {output});
}

}  // namespace caisson::engine
