// Truth about boxes whose shim is gone.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/ulid.h"
#include "engine/box_impl.h"
#include "spec/state_json.h"
#include "sys/cgroup.h"

namespace caisson::engine {

Result<std::optional<Fd>> try_claim(const backend::Layout& layout, const std::string& id) {
  Fd lock = TRY(open_fd(layout.box(id) + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  // flock(2) belongs to the open file, so it passes to the shim with the descriptor and ends
  // with its last holder: process ids and their reuse do not matter.
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return std::optional<Fd>(std::move(lock));
  if (errno == EWOULDBLOCK) return std::optional<Fd>();
  return sys_error("lock box", id);
}

namespace {

Result<> commit(const Runtime::Impl& runtime, const std::string& id,
                const backend::EndedRecord& record, store::BoxUpdate update) {
  update.state = "stopped";
  update.exit_json = to_json(record.exit);
  update.finished_ns = record.finished_ns;
  [[maybe_unused]] const bool changed =
      TRY(runtime.state.transition(id, states_before(BoxState::kStopped), update));
  ::unlink((runtime.layout.ended() + "/" + id).c_str());
  return {};
}

}  // namespace

Result<> commit_end(const Runtime::Impl& runtime, const std::string& id,
                    const backend::EndedRecord& record) {
  return commit(runtime, id, record, {});
}

Result<> clear_remains(const Runtime::Impl& runtime, const std::string& id) {
  ::unlink((runtime.layout.box(id) + "/" + backend::Layout::socket(id)).c_str());
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  Result<sys::Cgroup> group = sys::Cgroup::open(layout, id);
  if (!group) return {};
  TRY(group->kill_all());
  return group->remove();
}

namespace {

Result<> end_lost(const Runtime::Impl& runtime, const store::BoxRow& row) {
  TRY(clear_remains(runtime, row.id));
  // An empty id is not known: of a row of an earlier version, or where /proc cannot be read.
  const bool restarted =
      !row.boot_id.empty() && !runtime.boot.empty() && row.boot_id != runtime.boot;
  const auto cause = [&](std::string_view action, std::string_view otherwise) {
    return format("{} box: {}", action, restarted ? "the machine was restarted" : otherwise);
  };
  store::BoxUpdate update;
  if (row.state == "starting") {
    update.state = "failed";
    update.error_reason = cause("start", "the process that started it died");
    update.finished_ns = wall_ns();
    [[maybe_unused]] const bool changed =
        TRY(runtime.state.transition(row.id, states_before(BoxState::kFailed), update));
    return {};
  }
  backend::EndedRecord record;
  record.exit.reason = ExitReason::kLost;
  record.finished_ns = wall_ns();
  if (row.started_ns)
    record.exit.duration = std::chrono::nanoseconds(record.finished_ns - *row.started_ns);
  update.error_reason = cause("watch", "its shim died");
  return commit(runtime, row.id, record, std::move(update));
}

}  // namespace

Result<store::BoxRow> settle(const Runtime::Impl& runtime, store::BoxRow row) {
  if (!is_live(row.state)) return row;
  const Result<std::optional<Fd>> claim = try_claim(runtime.layout, row.id);
  if (claim && !*claim) return row;  // its shim is alive, or somebody is starting it
  if (!claim && claim.error().sys_errno != ENOENT) return claim.error();
  // The state may have moved between our read and the claim.
  std::optional<store::BoxRow> now = TRY(runtime.state.find(row.id));
  if (!now || !is_live(now->state)) return now ? *now : row;
  Result<std::string> left = read_file(runtime.layout.ended() + "/" + row.id, 1u << 20);
  Result<backend::EndedRecord> record =
      left ? backend::decode_ended(*left) : Result<backend::EndedRecord>(left.error());
  if (record) {
    TRY(clear_remains(runtime, row.id));
    TRY(commit_end(runtime, row.id, *record));
  } else {
    TRY(end_lost(runtime, *now));
  }
  now = TRY(runtime.state.find(row.id));
  return now ? *now : row;
}

Result<> recover(const Runtime::Impl& runtime) {
  const std::string ended = runtime.layout.ended();
  DIR* dir = ::opendir(ended.c_str());
  if (dir == nullptr) return sys_error("read directory", ended);
  ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (!is_ulid(entry->d_name)) continue;
    std::optional<store::BoxRow> row = TRY(runtime.state.find(entry->d_name));
    if (row && is_live(row->state)) {
      // A box that ends at this moment still has its shim; its own client commits the end.
      store::BoxRow settled = TRY(settle(runtime, std::move(*row)));
      if (is_live(settled.state)) continue;
      if (settled.auto_remove) {
        TRY(remove_files(runtime, settled.id));
        [[maybe_unused]] const bool erased = TRY(erase_box(runtime, settled));
      }
    }
    ::unlink((ended + "/" + entry->d_name).c_str());
  }
  const std::optional<std::string> known = TRY(runtime.state.meta("boot_id"));
  if (known == runtime.boot) return {};
  for (store::BoxRow& row : TRY(runtime.state.live())) [[maybe_unused]]
    const store::BoxRow settled = TRY(settle(runtime, std::move(row)));
  return runtime.state.set_meta("boot_id", runtime.boot);
}

}  // namespace caisson::engine
