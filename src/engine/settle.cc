// Truth about boxes whose shim is gone.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "backend/groups.h"
#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/ulid.h"
#include "container/protect.h"
#include "engine/audit.h"
#include "engine/box_impl.h"
#include "spec/state_json.h"
#include "sys/cgroup.h"
#include "sys/socket.h"

namespace caisson::engine {

Result<std::optional<Fd>> try_claim(const backend::Layout& layout, const std::string& id,
                                    bool make) {
  Fd lock =
      TRY(open_fd(layout.box(id) + "/lock", O_RDWR | O_NOFOLLOW | (make ? O_CREAT : 0), 0600));
  // flock(2) belongs to the open file, so it passes to the shim with the descriptor and ends
  // with its last holder: process ids and their reuse do not matter.
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return std::optional<Fd>(std::move(lock));
  if (errno == EWOULDBLOCK) return std::optional<Fd>();
  return sys_error("lock box", id);
}

namespace {

/// Whether it was not committed before.
Result<bool> commit(const Runtime::Impl& runtime, const std::string& id,
                    const backend::EndedRecord& record, store::BoxUpdate update) {
  update.state = "stopped";
  update.exit_json = to_json(record.exit);
  update.finished_ns = record.finished_ns;
  const bool changed = TRY(runtime.state.transition(id, states_before(BoxState::kStopped), update));
  ::unlink((runtime.layout.ended() + "/" + id).c_str());
  return changed;
}

}  // namespace

Result<> commit_end(const Runtime::Impl& runtime, const std::string& id,
                    const backend::EndedRecord& record) {
  TRY(commit(runtime, id, record, {}));
  return {};
}

namespace {

void clear_files(const Runtime::Impl& runtime, const std::string& id) {
  const std::string box = runtime.layout.box(id);
  ::unlink((box + "/" + backend::Layout::kPaused).c_str());
  ::unlink((box + "/" + backend::Layout::socket(id)).c_str());
  container::remove_placeholders(box);
}

}  // namespace

Result<> clear_remains(const Runtime::Impl& runtime, const std::string& id) {
  clear_files(runtime, id);
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  for (const std::string& name : backend::groups_of(id)) {
    Result<sys::Cgroup> group = sys::Cgroup::open(layout, name);
    if (!group) continue;
    TRY(group->kill_all());
    TRY(group->remove());
  }
  return {};
}

namespace {

Result<> end_lost(const Runtime::Impl& runtime, const store::BoxRow& row) {
  // An empty id is not known: of a row of an earlier version, or where /proc cannot be read.
  const bool restarted =
      !row.boot_id.empty() && !runtime.boot.empty() && row.boot_id != runtime.boot;
  if (restarted)
    clear_files(runtime, row.id);  // cgroups are gone with the boot
  else
    TRY(clear_remains(runtime, row.id));
  const auto cause = [&](std::string_view action, std::string_view otherwise) {
    return format("{} box: {}", action, restarted ? "the machine was restarted" : otherwise);
  };
  store::BoxUpdate update;
  if (row.state == "starting") {
    update.state = "failed";
    update.error_reason = cause("start", "the process that started it died");
    update.finished_ns = wall_ns();
    // Who wrote it tells of it: several may find the box at once.
    if (TRY(runtime.state.transition(row.id, states_before(BoxState::kFailed), update)))
      tell_failed(runtime, row.id, *update.error_reason);
    return {};
  }
  backend::EndedRecord record;
  record.exit.reason = ExitReason::kLost;
  record.finished_ns = wall_ns();
  if (row.started_ns)
    record.exit.duration = std::chrono::nanoseconds(record.finished_ns - *row.started_ns);
  update.error_reason = cause("watch", "its shim died");
  if (TRY(commit(runtime, row.id, record, std::move(update))))
    tell_ended(runtime, row.id, record.exit);
  return {};
}

/// What the shim left of the end, if it did.
std::optional<backend::EndedRecord> ended_record(const Runtime::Impl& runtime,
                                                 const std::string& id) {
  const Result<std::string> left = read_file(runtime.layout.ended() + "/" + id, 1u << 20);
  if (!left) return std::nullopt;
  const Result<backend::EndedRecord> record = backend::decode_ended(*left);
  return record ? std::optional(*record) : std::nullopt;
}

/// What a running box's shim says of its start.
Result<backend::Started> ask_started(const Runtime::Impl& runtime, const std::string& id) {
  const Fd dir = TRY(open_fd(runtime.layout.box(id), O_PATH | O_DIRECTORY));
  Channel channel(TRY(sys::connect_at(dir.get(), backend::Layout::socket(id))));
  TRY(channel.send(backend::StartedRequest{}));
  const backend::Reply reply = TRY(channel.reply(in(std::chrono::seconds(5))));
  if (reply.started) return *reply.started;
  return make_error(Code::kInternal, "protocol_error", "ask shim: it says nothing of its start");
}

/// Of a box whose claim somebody holds: its shim, or who is about to start it.
Result<store::BoxRow> settle_held(const Runtime::Impl& runtime, store::BoxRow row) {
  if (const auto record = ended_record(runtime, row.id)) {  // its shim is about to leave
    TRY(commit_end(runtime, row.id, *record));
    const std::optional<store::BoxRow> now = TRY(runtime.state.find(row.id));
    return now ? *now : row;
  }
  if (row.state == "starting") {
    // Who started it may have died before it could write that it runs.
    const Result<backend::Started> started = ask_started(runtime, row.id);
    if (!started) return row;
    [[maybe_unused]] const bool changed =
        TRY(runtime.state.transition(row.id, {"starting"}, running_update(*started)));
    if (auto now = TRY(runtime.state.find(row.id))) row = std::move(*now);
  }
  const std::string mark = runtime.layout.box(row.id) + "/" + backend::Layout::kPaused;
  if (row.state == "running" && ::access(mark.c_str(), F_OK) == 0) row.state = "paused";
  return row;
}

}  // namespace

store::BoxUpdate running_update(const backend::Started& started) {
  store::BoxUpdate update;
  update.state = "running";
  update.started_ns = started.started_ns;
  update.shim_pid = started.shim_pid;
  update.init_pid = started.init_pid;
  update.stages_json = spec::to_json(started.stages);
  update.warnings_json = spec::to_json(started.warnings);
  return update;
}

Result<store::BoxRow> settle(const Runtime::Impl& runtime, store::BoxRow row) {
  if (!is_live(row.state)) return row;
  const Result<std::optional<Fd>> claim = try_claim(runtime.layout, row.id);
  if (claim && !*claim) return settle_held(runtime, std::move(row));
  if (!claim && claim.error().sys_errno != ENOENT) return claim.error();
  // The state may have moved between our read and the claim.
  std::optional<store::BoxRow> now = TRY(runtime.state.find(row.id));
  if (!now || !is_live(now->state)) return now ? *now : row;
  if (const auto record = ended_record(runtime, row.id)) {
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
        if (TRY(erase_box(runtime, settled))) tell_removed(runtime, settled.id);
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
