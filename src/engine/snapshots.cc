// Snapshots, restoring, forks, differences.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/ulid.h"
#include "engine/audit.h"
#include "engine/changes.h"
#include "engine/images_impl.h"
#include "engine/layers.h"
#include "engine/named_volumes.h"
#include "engine/record.h"
#include "image/changes.h"
#include "image/diff.h"
#include "spec/checks.h"
#include "spec/effective.h"

namespace caisson {
namespace {

using engine::Channel;
using Layers = std::vector<store::BoxLayer>;

/// The box stands still until this goes.
Result<Channel> hold(const Box::Impl& box) {
  Channel channel = TRY(box.connect());
  TRY(channel.send(backend::PauseRequest{.hold = true}));
  TRY(channel.reply());
  return channel;
}

/// Whether it has stood still all the time.
bool still_held(Channel& channel) {
  const Result<wire::Frame> frame = channel.receive(in(std::chrono::nanoseconds(0)));
  return !frame && frame.error().code == Code::kDeadlineExceeded;
}

Error busy(const std::string& id) {
  return make_error(Code::kUnavailable, "box_busy",
                    format("look at box '{}': it starts or ends again and again", id),
                    "try once more");
}

Error no_memory(const std::string& id, std::string_view why) {
  return make_error(Code::kFailedPrecondition, "memory_unsaveable",
                    format("save memory of box '{}': {}", id, why),
                    "a snapshot without --memory keeps its files");
}

/// Layers that show what the box shows now, with its memory if that is asked for. A box that runs
/// is held meanwhile.
Result<Layers> capture(const Box::Impl& box, bool memory = false) {
  const Runtime::Impl& runtime = *box.runtime;
  const BoxSpec spec = TRY(engine::spec_of(TRY(box.row())));
  TRY(engine::require_layers(spec, "make layers of"));
  const bool machine = spec.isolation == Isolation::kMicroVm;
  if (memory && !machine) return no_memory(box.id, "only that of a microVM can be");
  for (int tries = 0; tries < 5; ++tries) {
    const store::BoxRow row = TRY(engine::settle(runtime, TRY(box.row())));
    if (!engine::is_live(row.state)) {
      if (memory) return no_memory(box.id, "it does not run");
      if (::access(runtime.layout.box(box.id).c_str(), F_OK) != 0)  // never started
        return runtime.snapshots.layers(box.id);
      const std::optional<Fd> claim = TRY(engine::claim_box(runtime.layout, row));
      if (!claim) continue;
      return engine::seal(runtime, TRY(box.row()));
    }
    if (machine) {
      Result<engine::SavedMachine> saved = engine::save_machine(box, memory, false);
      if (saved) return std::move(saved->layers);
      if (saved.error().reason != "box_gone" && saved.error().reason != "box_not_running")
        return saved.error();
      ::usleep(20'000);
      continue;
    }
    Result<Channel> held = hold(box);
    if (!held && held.error().code != Code::kFailedPrecondition &&
        held.error().code != Code::kUnavailable)
      return held.error();
    if (!held) {  // it is starting, or has just ended
      ::usleep(20'000);
      continue;
    }
    Layers layers = TRY(engine::copy_written(runtime, TRY(box.row())));
    if (still_held(*held)) return layers;
    engine::discard_layers(runtime, layers);
  }
  return busy(box.id);
}

SnapshotInfo info_of(const store::SnapshotRow& row) {
  SnapshotInfo info{row.id, row.box, row.name, row.note, row.created_ns, 0};
  for (const store::BoxLayer& layer : row.layers) info.bytes += layer.bytes;
  return info;
}

Result<store::SnapshotRow> find_snapshot(const Box::Impl& box, std::string_view name) {
  store::SnapshotState& snapshots = box.runtime->snapshots;
  if (auto row = TRY(snapshots.find(box.id, name))) return std::move(*row);
  if (const auto other = TRY(snapshots.box_of(name)))
    return make_error(
        Code::kNotFound, "snapshot_not_found",
        format("find snapshot '{}' of box '{}': it is one of box '{}'", name, box.id, *other));
  std::string known;
  for (const store::SnapshotRow& row : TRY(snapshots.list(box.id)))
    known += (known.empty() ? "it has " : ", ") + row.name;
  return make_error(Code::kNotFound, "snapshot_not_found",
                    format("find snapshot '{}' of box '{}': there is none", name, box.id), known);
}

}  // namespace

Result<SnapshotInfo> Box::snapshot(std::string_view name, std::string_view note, bool memory) {
  const Runtime::Impl& runtime = *impl_->runtime;
  store::SnapshotRow row;
  row.id = TRY(make_ulid());
  row.box = impl_->id;
  row.name = name.empty() ? row.id : std::string(name);
  row.note = note;
  TRY(spec::check_name(row.name));
  const std::int64_t began = boot_ns();
  TRY(impl_->row());
  if (TRY(runtime.snapshots.find(impl_->id, row.name)))
    return make_error(
        Code::kAlreadyExists, "snapshot_exists",
        format("make snapshot '{}' of box '{}': it has one of this name", row.name, impl_->id),
        format("caisson snapshot rm {} {}", impl_->id, row.name));
  Result<Layers> layers = capture(*impl_, memory);
  if (!layers) return with_context(layers.error(), format("make snapshot '{}'", row.name));
  row.layers = std::move(*layers);
  row.created_ns = wall_ns();
  Result<> kept = engine::sync_home(runtime);
  if (kept) kept = runtime.snapshots.insert(row);
  if (!kept) {
    engine::discard_layers(runtime, row.layers);
    return kept.error();
  }
  engine::tell_snapshot(runtime, "snapshot_created", impl_->id, row.name);
  runtime.metrics.add(telemetry::Counter::kSnapshots);
  runtime.metrics.observe(telemetry::Timing::kSnapshot,
                          std::chrono::nanoseconds(boot_ns() - began));
  return info_of(row);
}

Result<std::vector<SnapshotInfo>> Box::snapshots() const {
  TRY(impl_->row());
  std::vector<SnapshotInfo> infos;
  for (const store::SnapshotRow& row : TRY(impl_->runtime->snapshots.list(impl_->id)))
    infos.push_back(info_of(row));
  return infos;
}

Result<SnapshotInfo> Box::find_snapshot(std::string_view name) const {
  TRY(impl_->row());
  return info_of(TRY(caisson::find_snapshot(*impl_, name)));
}

Result<> Box::remove_snapshot(std::string_view name) {
  TRY(impl_->row());
  const store::SnapshotRow row = TRY(caisson::find_snapshot(*impl_, name));
  [[maybe_unused]] const bool erased = TRY(impl_->runtime->snapshots.erase(row.id));
  engine::discard_layers(*impl_->runtime, row.layers);
  engine::tell_snapshot(*impl_->runtime, "snapshot_removed", impl_->id, row.name);
  return {};
}

Result<> Box::restore(std::string_view name) {
  const Runtime::Impl& runtime = *impl_->runtime;
  const store::BoxRow row = TRY(engine::settle(runtime, TRY(impl_->row())));
  TRY(engine::require_layers(TRY(engine::spec_of(row)), "restore"));
  const store::SnapshotRow snapshot = TRY(caisson::find_snapshot(*impl_, name));
  const bool runs = engine::is_live(row.state);
  const std::int64_t began = boot_ns();
  if (runs && row.auto_remove)
    return make_error(Code::kFailedPrecondition, "box_running",
                      format("restore box '{}': it runs, and is removed when it ends", row.id),
                      "fork it from the snapshot");
  {
    const std::optional<Fd> claim = TRY(engine::end_and_claim(*impl_));
    // It may have been removed while the box was ending.
    TRY(engine::replace_layers(runtime, TRY(impl_->row()),
                               TRY(caisson::find_snapshot(*impl_, name)).layers));
  }
  engine::tell_snapshot(runtime, "box_restored", impl_->id, snapshot.name);
  runtime.metrics.add(telemetry::Counter::kRestores);
  runtime.metrics.observe(telemetry::Timing::kRestore, std::chrono::nanoseconds(boot_ns() - began));
  return runs ? start() : Result<>();
}

Result<> Box::hibernate() {
  const Runtime::Impl& runtime = *impl_->runtime;
  const store::BoxRow row = TRY(engine::settle(runtime, TRY(impl_->row())));
  const BoxSpec spec = TRY(engine::spec_of(row));
  if (spec.isolation != Isolation::kMicroVm)
    return no_memory(row.id, "only that of a microVM can be");
  if (row.auto_remove) return no_memory(row.id, "the box is removed when it ends");
  const Layers before = TRY(runtime.snapshots.layers(row.id));
  engine::SavedMachine saved = TRY(engine::save_machine(*impl_, true, true));
  Result<> kept = engine::sync_home(runtime);
  if (kept && !still_held(saved.held)) kept = busy(row.id);
  if (kept) {
    // From here on a crash of whoever lets it go on from what was saved.
    const Result<bool> set = runtime.snapshots.set_layers(row.id, saved.layers, TRY(make_ulid()));
    if (!set) kept = set.error();
    if (set && !*set)
      kept =
          make_error(Code::kNotFound, "box_not_found", format("find box '{}': it is gone", row.id));
  }
  if (!kept) {  // it goes on
    engine::discard_layers(runtime, saved.layers);
    return kept;
  }
  if (!still_held(saved.held)) return busy(row.id);  // somebody else ended it
  [[maybe_unused]] const Result<backend::Reply> told =
      impl_->ask(backend::KillRequest{ExitReason::kHibernated});
  TRY(wait());
  engine::remove_written(runtime, row);
  engine::discard_layers(runtime, before);
  return {};
}

Result<std::vector<Box>> Box::fork(const ForkOptions& options) {
  const Runtime::Impl& runtime = *impl_->runtime;
  if (options.count == 0 || options.count > 1000)
    return make_error(Code::kInvalidArgument, "count_invalid",
                      format("fork box '{}': {} is no number of boxes", impl_->id, options.count),
                      "1 to 1000");
  const std::int64_t began = boot_ns();
  const store::BoxRow source = TRY(impl_->row());
  BoxSpec spec = TRY(engine::spec_of(source));
  spec.name.clear();
  const store::BoxVolumes volumes = TRY(engine::volumes_of(spec));
  // Of a microVM that runs the processes go on in each, if its memory can be saved.
  const bool memory = spec.isolation == Isolation::kMicroVm && !spec::shows_host_files(spec) &&
                      engine::is_live(TRY(engine::settle(runtime, source)).state);
  const Layers layers = options.snapshot.empty()
                            ? TRY(capture(*impl_, memory))
                            : TRY(caisson::find_snapshot(*impl_, options.snapshot)).layers;
  std::vector<store::BoxRow> rows;
  for (unsigned i = 0; i < options.count; ++i) {
    store::BoxRow row = TRY(engine::new_row(spec));
    row.image = source.image;
    row.rootfs_json = source.rootfs_json;
    row.generation = TRY(make_ulid());
    rows.push_back(std::move(row));
  }
  if (Result<> inserted = runtime.snapshots.insert_boxes(rows, layers, volumes); !inserted) {
    engine::discard_layers(runtime, layers);
    return inserted.error();
  }
  runtime.metrics.add(telemetry::Counter::kForks, rows.size());
  runtime.metrics.observe(telemetry::Timing::kFork, std::chrono::nanoseconds(boot_ns() - began));
  std::vector<Box> boxes;
  for (const store::BoxRow& row : rows)
    engine::tell_created(runtime, row.id, spec, row.image, source.id);
  for (const store::BoxRow& row : rows)
    boxes.emplace_back(std::make_shared<const Box::Impl>(impl_->runtime, row.id));
  return boxes;
}

namespace {

Result<std::vector<Change>> read_list(int file) {
  if (::lseek(file, 0, SEEK_SET) < 0) return sys_error("read differences", "");
  return image::read_changes(TRY(read_all(file, 1u << 30, "differences")));
}

/// An ordinary user's shim reads what belongs to the ids of boxes.
Result<std::vector<Change>> compare_as_box(const Runtime::Impl& runtime,
                                           const backend::DiffRequest& request) {
  const Fd file(::memfd_create("differences", MFD_CLOEXEC));
  if (!file) return sys_error("create memory file", "");
  TRY(engine::ask_shim(runtime, request, {file.get()}));
  return read_list(file.get());
}

Result<std::vector<Change>> compare(const Runtime::Impl& runtime,
                                    const backend::DiffRequest& request) {
  if (::geteuid() != 0) return compare_as_box(runtime, request);
  std::vector<Change> changes;
  TRY(image::compare_layers(request.before, request.after, [&](const Change& change) {
    changes.push_back(change);
    return Result<>();
  }));
  return changes;
}

/// Of a box whose files are on a disk. What is compared is what it is at this moment.
Result<std::vector<Change>> compare_machine(const Box::Impl& box, const Box& handle,
                                            const store::BoxRow& row, const BoxSpec& spec,
                                            std::string_view snapshot) {
  const Runtime::Impl& runtime = *box.runtime;
  TRY(engine::open_fetch_directories(runtime));
  const engine::Staging staging = TRY(engine::Staging::make(runtime));
  const engine::Moment moment = TRY(engine::Moment::of(handle, box, staging));
  const engine::BoxRoot base = TRY(engine::base_of(runtime, row, spec));
  Rootfs before = base.rootfs;
  if (!snapshot.empty())
    before =
        engine::with_layers(runtime, before, TRY(caisson::find_snapshot(box, snapshot)).layers);
  const Rootfs after = engine::with_layers(runtime, base.rootfs, moment.layers());
  if (before == after) return std::vector<Change>();
  if (!engine::is_on_disk(before, after))
    return compare(runtime, {engine::paths_of(before), engine::paths_of(after)});
  const Fd file(::memfd_create("differences", MFD_CLOEXEC));
  if (!file) return sys_error("create memory file", "");
  TRY(engine::compare_disks(runtime, spec, before, after, false, file.get()));
  return read_list(file.get());
}

}  // namespace

Result<std::vector<Change>> Box::diff(std::string_view snapshot) const {
  const Runtime::Impl& runtime = *impl_->runtime;
  const store::BoxRow row = TRY(engine::settle(runtime, TRY(impl_->row())));
  const BoxSpec spec = TRY(engine::spec_of(row));
  TRY(engine::require_layers(spec, "compare"));
  if (spec.isolation == Isolation::kMicroVm)
    return compare_machine(*impl_, *this, row, spec, snapshot);
  const Result<Channel> held = engine::is_live(row.state)
                                   ? hold(*impl_)
                                   : Result<Channel>(make_error(Code::kUnavailable, "", ""));
  if (!held && engine::is_live(row.state) && held.error().code != Code::kFailedPrecondition &&
      held.error().code != Code::kUnavailable)
    return held.error();
  const engine::BoxRoot base = TRY(engine::base_of(runtime, row, spec));
  Rootfs before = base.rootfs;
  if (!snapshot.empty())
    before = engine::with_layers(runtime, std::move(before),
                                 TRY(caisson::find_snapshot(*impl_, snapshot)).layers);
  Rootfs after = TRY(engine::root_of(runtime, row, spec)).rootfs;
  backend::DiffRequest request{engine::paths_of(before), engine::paths_of(after)};
  const std::string written = runtime.layout.box(row.id) + "/" + writable_name(after);
  if (::access(written.c_str(), F_OK) == 0) {
    if (after.strategy == RootfsStrategy::kMerged) request.after.clear();
    request.after.insert(request.after.begin(), written);
  }
  return compare(runtime, request);
}

}  // namespace caisson
