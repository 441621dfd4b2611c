#include "engine/audit.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/ulid.h"
#include "engine/box_impl.h"
#include "engine/channel.h"
#include "spec/json.h"
#include "spec/json_reader.h"

namespace caisson {
namespace engine {

using nlohmann::json;
using telemetry::Counter;

void tell_created(const Runtime::Impl& runtime, const std::string& box, const BoxSpec& spec,
                  const std::string& image, const std::string& forked_from) {
  json mounts = json::array();
  for (const Mount& mount : spec.mounts)
    if (mount.type != MountType::kTmpfs)
      mounts.push_back({{"source", spec::encode_text(mount.source)},
                        {"target", spec::encode_text(mount.target)},
                        {"read_only", mount.read_only}});
  json details = {{"name", spec::encode_text(spec.name)},
                  {"source", spec::encode_text(spec.source)},
                  {"image", image},
                  {"command", telemetry::shown_command(spec.command)},
                  {"isolation", std::string(to_string(spec.isolation))},
                  {"profile", std::string(to_string(spec.profile))},
                  {"network", std::string(to_string(spec.network))},
                  {"mounts", std::move(mounts)}};
  if (!spec.access.empty())
    details["access"] = {{"read", telemetry::shown_command(spec.access.read)},
                         {"write", telemetry::shown_command(spec.access.write)},
                         {"execute", telemetry::shown_command(spec.access.execute)},
                         {"connect_ports", spec.access.connect_ports},
                         {"bind_ports", spec.access.bind_ports}};
  if (!forked_from.empty()) details["forked_from"] = forked_from;
  runtime.audit.add("box_created", box, details);
  runtime.metrics.add(Counter::kBoxesCreated);
}

void tell_failed(const Runtime::Impl& runtime, const std::string& box, const std::string& cause) {
  runtime.audit.add("box_failed", box, {{"cause", telemetry::shown_text(cause)}});
  runtime.metrics.add(Counter::kBoxesFailed);
}

void tell_ended(const Runtime::Impl& runtime, const std::string& box, const ExitInfo& exit) {
  runtime.audit.add("box_ended", box, telemetry::shown_exit(exit));
  runtime.metrics.ended(exit.reason);
}

void tell_removed(const Runtime::Impl& runtime, const std::string& box) {
  runtime.audit.add("box_removed", box, json::object());
  runtime.metrics.add(Counter::kBoxesRemoved);
}

void tell_snapshot(const Runtime::Impl& runtime, std::string_view event, const std::string& box,
                   const std::string& name) {
  runtime.audit.add(event, box, {{"snapshot", name}});
}

void tell_volume(const Runtime::Impl& runtime, std::string_view event, std::string_view name) {
  runtime.audit.add(event, "", {{"volume", std::string(name)}});
}

void tell_files(const Runtime::Impl& runtime, const std::string& box, std::string_view way,
                std::string_view path, const Result<std::uint64_t>& bytes) {
  nlohmann::json details = {{"way", std::string(way)},
                            {"path", telemetry::shown_text(std::string(path))}};
  if (bytes)
    details["bytes"] = *bytes;
  else
    details["cause"] = telemetry::shown_text(bytes.error().message);
  runtime.audit.add("files_touched", box, details);
}

void tell_pulled(const Runtime::Impl& runtime, const std::string& image,
                 const std::string& source) {
  runtime.audit.add("image_pulled", "", {{"image", image}, {"source", spec::encode_text(source)}});
  runtime.metrics.add(Counter::kImagesPulled);
}

}  // namespace engine

Result<std::vector<AuditEntry>> Runtime::audit(std::string_view box_id) {
  telemetry::AuditReader reader(impl_->layout.home);
  std::vector<AuditEntry> entries;
  while (std::optional<AuditEntry> entry = TRY(reader.next()))
    if (box_id.empty() || entry->box_id == box_id) entries.push_back(std::move(*entry));
  return entries;
}

Result<AuditCheck> Runtime::verify_audit() { return telemetry::verify_audit(impl_->layout.home); }

std::vector<AuditEntry> Runtime::recent_audit() {
  const std::deque<AuditEntry> recent = impl_->audit.recent();
  return {recent.begin(), recent.end()};
}

Result<std::uint64_t> Runtime::last_event() { return telemetry::last_entry(impl_->layout.home); }

class EventStream::Impl final {
 public:
  Impl(const std::string& home, std::uint64_t after, Fd watch)
      : reader(home), after(after), watch(std::move(watch)) {}
  telemetry::AuditReader reader;
  std::uint64_t after;
  Fd watch;  ///< inotify(7) of the log's directory
};

EventStream::EventStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;
EventStream::~EventStream() = default;

int EventStream::fd() const { return impl_->watch.get(); }

Result<AuditEntry> EventStream::next(Deadline deadline) {
  for (;;) {
    // Emptied before the log is looked at: what comes after that look wakes us again.
    char notices[4096];
    while (::read(impl_->watch.get(), notices, sizeof notices) > 0) {
    }
    while (std::optional<AuditEntry> entry = TRY(impl_->reader.next()))
      if (entry->seq > impl_->after) return std::move(*entry);
    pollfd polled{impl_->watch.get(), POLLIN, 0};
    const int ready = ::poll(&polled, 1, engine::poll_timeout(deadline));
    if (ready == 0) return engine::deadline_passed("wait for an event");
    if (ready < 0 && errno != EINTR) return sys_error("wait for an event", "");
  }
}

Result<EventStream> Runtime::events(std::uint64_t after_seq) {
  const std::string directory = impl_->path("audit");
  if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", directory);
  Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return sys_error("watch audit log", directory);
  if (::inotify_add_watch(watch.get(), directory.c_str(), IN_MODIFY | IN_CREATE) < 0)
    return sys_error("watch audit log", directory);
  return EventStream(
      std::make_unique<EventStream::Impl>(impl_->layout.home, after_seq, std::move(watch)));
}

Result<Health> Runtime::health() {
  Health health;
  for (const BoxInfo& info : TRY(list())) {
    ++health.boxes;
    const bool ended = info.state == BoxState::kConfigured || info.state == BoxState::kStopped ||
                       info.state == BoxState::kFailed;
    if (!ended) ++health.active;
    if (info.state == BoxState::kFailed) ++health.failed;
    if (info.created_ns > health.last_created_ns.value_or(0))
      health.last_created_ns = info.created_ns;
  }
  struct statvfs st{};
  if (::statvfs(impl_->layout.home.c_str(), &st) < 0)
    return sys_error("look at file system of", impl_->layout.home);
  health.disk_free_bytes = st.f_bavail * st.f_frsize;
  health.disk_total_bytes = st.f_blocks * st.f_frsize;
  if (health.disk_free_bytes < health.disk_total_bytes / 20)
    health.warnings.push_back(format("the file system of '{}' is nearly full", impl_->layout.home));
  if (impl_->shim.empty())
    health.warnings.emplace_back("caisson-shim is not found: no box can be started");
  if (const std::uint64_t lost = impl_->metrics.value(telemetry::Counter::kAuditFailures); lost > 0)
    health.warnings.push_back(format("{} entries could not be written to the audit log", lost));
  if (const std::optional<Error> failure = impl_->audit.last_failure())
    health.warnings.push_back(failure->message);
  if (health.failed > 0)
    health.warnings.push_back(
        format("{} boxes could not be started: caisson inspect tells why", health.failed));
  return health;
}

Result<std::string> Runtime::metrics() {
  std::map<std::string_view, std::size_t> states;
  for (const BoxState state :
       {BoxState::kConfigured, BoxState::kStarting, BoxState::kRunning, BoxState::kPaused,
        BoxState::kStopping, BoxState::kStopped, BoxState::kFailed})
    states[to_string(state)] = 0;
  for (const BoxInfo& info : TRY(list())) ++states[to_string(info.state)];
  std::string text = "# HELP caisson_boxes Boxes in each state.\n# TYPE caisson_boxes gauge\n";
  for (const auto& [state, count] : states)
    text += format("caisson_boxes{{state=\"{}\"}} {}\n", state, count);
  return text + impl_->metrics.text();
}

Result<std::vector<std::string>> Runtime::destroy_all(
    const std::map<std::string, std::string>& labels) {
  std::vector<std::string> ids;
  std::optional<Error> failure;
  for (const BoxInfo& info : TRY(list({.all = true, .labels = labels}))) {
    Result<Box> box = find(info.id);
    Result<> removed = box ? box->remove(true) : Result<>(box.error());
    if (removed)
      ids.push_back(info.id);
    else if (removed.error().reason != "box_not_found")
      failure = removed.error();
  }
  if (failure) return *failure;
  return ids;
}

namespace {

/// A start that was killed while somebody else removed its box may have made its directory again.
Result<> remove_unrecorded(const Runtime::Impl& runtime) {
  for (const std::string& id : names_in(runtime.path("boxes"))) {
    if (!is_ulid(id) || TRY(runtime.state.find(id))) continue;
    const Result<std::optional<Fd>> claim = engine::try_claim(runtime.layout, id, true);
    // One that cannot be removed does not keep the others.
    if (claim && *claim && !TRY(runtime.state.find(id))) [[maybe_unused]]
      const Result<> removed = engine::remove_files(runtime, id);
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> Runtime::prune(std::chrono::nanoseconds age) {
  TRY(remove_unrecorded(*impl_));
  const std::int64_t now = wall_ns();
  std::vector<std::string> ids;
  for (const BoxInfo& info : TRY(list())) {
    const bool ended = info.state == BoxState::kConfigured || info.state == BoxState::kStopped ||
                       info.state == BoxState::kFailed;
    if (!ended || now - info.finished_ns.value_or(info.created_ns) < age.count()) continue;
    Result<Box> box = find(info.id);
    // One that has just been started stays, as one that somebody else removes does.
    if (box && box->remove()) ids.push_back(info.id);
  }
  return ids;
}

}  // namespace caisson
