// Starting a box: intent before effect, and an undo for every effect.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/subprocess.h"
#include "engine/audit.h"
#include "engine/box_impl.h"
#include "engine/images_impl.h"
#include "engine/layers.h"
#include "engine/named_volumes.h"
#include "engine/probe.h"
#include "engine/record.h"
#include "spec/image_ref.h"
#include "spec/state_json.h"
#include "sys/socket.h"

namespace caisson::engine {
namespace {

Error not_startable(const store::BoxRow& row) {
  return make_error(Code::kFailedPrecondition, "box_running",
                    format("start box '{}': it is {}", row.id, row.state));
}

Error not_found(const std::string& id) {
  return make_error(Code::kNotFound, "box_not_found", format("start box '{}': it is gone", id));
}

/// For tests of the undoing: the number of the set-up step that is to fail.
unsigned injected_fault() {
  const char* text = ::getenv("CAISSON_FAULT_STEP");  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? 0 : static_cast<unsigned>(::strtoul(text, nullptr, 10));
}

/// The shim is no child of the embedding program. It keeps `claim` to its end.
Result<Channel> spawn_shim(const Runtime::Impl& runtime, const Fd& claim, Isolation isolation) {
  const std::string path = runtime.shim.empty() ? TRY(find_shim(runtime.options)) : runtime.shim;
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_STREAM));
  // Descriptors are moved above those that the shim is to have.
  Fd control(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, 10));
  Fd lock(::fcntl(claim.get(), F_DUPFD_CLOEXEC, 10));
  if (!control || !lock) return sys_error("duplicate descriptor", "");
  std::vector<std::string> argv = {path};
  if (isolation == Isolation::kContainer) argv.emplace_back(backend::kPrepareContainer);
  TRY(spawn_detached(argv, {{control.get(), 3}, {lock.get(), 4}}));
  return Channel(std::move(pair.ours));
}

/// A program of another machine runs where the kernel knows an interpreter for it.
void warn_of_platform(const BoxSpec& spec, std::vector<std::string>& warnings) {
  if (spec.platform.empty()) return;
  const Result<spec::Platform> platform = spec::parse_platform(spec.platform);
  const spec::Platform host = spec::host_platform();
  if (platform && !spec::fits(host, *platform))
    warnings.push_back(
        format("the image is for {}, this host is {}", spec.platform, spec::to_string(host)));
}

struct How {
  bool attach = false, at_rest = false;
  std::optional<backend::Trial> trial;
};

Result<StartedBox> launch(const Runtime::Impl& runtime, const store::BoxRow& row, BoxSpec spec,
                          const How& how, Result<Channel> spawned, backend::Started& started) {
  const std::int64_t begin = boot_ns();
  Channel channel = TRY(std::move(spawned));
  backend::StartRequest request;
  request.id = row.id;
  request.layout = runtime.layout;
  if (spec.isolation == Isolation::kMicroVm)
    request.guest = find_guest(runtime.options, TRY(find_shim(runtime.options)));
  request.spec = TRY(with_volume_paths(runtime, std::move(spec)));
  BoxRoot root = TRY(root_of(runtime, row, request.spec));
  request.rootfs = std::move(root.rootfs);
  request.attach = how.attach;
  request.at_rest = how.at_rest;
  request.trial = how.trial;
  if (!how.trial) request.fail_at = injected_fault();
  std::vector<int> fds_of_request;
  if (root.held) fds_of_request.push_back(root.held.get());
  const Result<> sent = channel.send(request, fds_of_request);
  if (!sent && sent.error().code != Code::kUnavailable) return sent.error();
  Result<backend::Reply> reply = channel.reply();
  if (!reply && reply.error().reason == "box_gone")
    return make_error(Code::kInternal, "shim_died", "start box: its shim died");
  if (!reply) return missing_layer(request.rootfs).value_or(reply.error());
  if (reply->started) started = *reply->started;
  warn_of_platform(request.spec, started.warnings);
  started.stages.push_back({"total", std::chrono::nanoseconds(boot_ns() - begin)});
  std::vector<Fd> fds = channel.take_fds();
  return StartedBox{std::move(channel), std::move(fds), std::move(request.spec)};
}

}  // namespace

Result<std::optional<Fd>> claim_box(const backend::Layout& layout, const store::BoxRow& row) {
  std::optional<Fd> claim = TRY(try_claim(layout, row.id, true));
  for (int i = 0; !claim && !is_live(row.state) && i < 2000; ++i) {
    ::usleep(1000);
    claim = TRY(try_claim(layout, row.id, true));
  }
  return claim;
}

Result<ClaimedBox> claim_to_use(const Runtime::Impl& runtime, const std::string& id) {
  std::optional<store::BoxRow> row = TRY(runtime.state.find(id));
  if (!row) return not_found(id);
  const std::string data = runtime.layout.box(id);
  if (::mkdir(data.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", data);
  std::optional<Fd> claim = TRY(claim_box(runtime.layout, *row));
  if (!claim) {
    if (is_live(row->state)) return not_startable(*row);
    // Somebody is just starting it, or works with its files.
    const Fd dir = TRY(open_fd(data, O_PATH | O_DIRECTORY));
    row = TRY(runtime.state.find(id));
    if (row && !is_live(row->state) && sys::connect_at(dir.get(), backend::Layout::socket(id)))
      return make_error(Code::kUnavailable, "box_busy",
                        format("start box '{}': its files are in use", id), "try once more");
    if (row && !is_live(row->state)) row->state = "starting";
    return row ? not_startable(*row) : not_found(id);
  }
  // With the claim in hand a live state can only be left over.
  if (is_live(row->state)) {
    claim.reset();
    *row = TRY(settle(runtime, std::move(*row)));
    claim = TRY(claim_box(runtime.layout, *row));
    if (!claim) return not_startable(*row);
  }
  // Whoever had the claim before may have given the box other layers.
  row = TRY(runtime.state.find(id));
  if (!row) {  // it was removed since, and we have made its directory anew
    [[maybe_unused]] const Result<> removed = remove_files(runtime, id);
    return not_found(id);
  }
  if (is_live(row->state)) return not_startable(*row);
  // A shim that only served files, and was killed, is in no record.
  if (::access(format("{}/{}", data, backend::Layout::socket(id)).c_str(), F_OK) == 0)
    TRY(clear_remains(runtime, id));
  TRY(finish_sealing(runtime, *row));
  return ClaimedBox{std::move(*row), std::move(*claim)};
}

Result<Channel> start_at_rest(const Runtime::Impl& runtime, const std::string& id) {
  const ClaimedBox box = TRY(claim_to_use(runtime, id));
  BoxSpec spec = TRY(spec_of(box.row));
  Result<Channel> shim = spawn_shim(runtime, box.claim, spec.isolation);
  backend::Started ignored;
  return TRY(launch(runtime, box.row, std::move(spec), {.at_rest = true}, std::move(shim), ignored))
      .channel;
}

Result<StartedBox> start_box(const Runtime::Impl& runtime, const std::string& id, bool attach,
                             const std::optional<backend::Trial>& trial) {
  const ClaimedBox claimed = TRY(claim_to_use(runtime, id));
  const store::BoxRow& row = claimed.row;
  // The shim does nothing for the box before it is asked to, but it prepares meanwhile.
  BoxSpec spec = TRY(spec_of(row));
  const Result<> proved = trial ? Result<>() : require_proof(runtime, spec);
  Result<Channel> channel =
      proved ? spawn_shim(runtime, claimed.claim, spec.isolation) : Result<Channel>(proved.error());
  store::BoxUpdate starting{.state = "starting", .clear_run = true, .boot_id = runtime.boot};
  if (!TRY(runtime.state.transition(id, states_before(BoxState::kStarting), starting)))
    return not_startable(row);

  backend::Started started;
  Result<StartedBox> box = launch(runtime, row, std::move(spec), {.attach = attach, .trial = trial},
                                  std::move(channel), started);
  store::BoxUpdate update;
  if (!box) {
    // A shim that fails clears up itself; for one that died we do.
    if (box.error().reason == "shim_died") {
      [[maybe_unused]] Result<> cleared = clear_remains(runtime, id);
    }
    update.state = "failed";
    update.error_reason = box.error().message;
    update.finished_ns = wall_ns();
    tell_failed(runtime, id, update.error_reason.value());
  } else {
    update = running_update(started);
  }
  const Result<bool> committed = runtime.state.transition(id, {"starting"}, update);
  if (committed || !box) return box;
  // A box that nobody would know to be running must not run.
  if (box->channel.send(backend::KillRequest{})) box->channel.await_close();
  return committed.error();
}

}  // namespace caisson::engine
