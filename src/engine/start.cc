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
#include "engine/box_impl.h"
#include "image/rootfs.h"
#include "spec/state_json.h"
#include "sys/socket.h"
#include "sys/tree.h"

namespace caisson::engine {
namespace {

Error not_startable(const store::BoxRow& row) {
  return make_error(Code::kFailedPrecondition, "box_running",
                    format("start box '{}': it is {}", row.id, row.state));
}

/// The writable layer: root's attributes inside are those of the upper directory.
Result<> make_upper(const std::string& data, const Rootfs& rootfs) {
  struct stat top{};
  if (::stat(rootfs.lowers.front().c_str(), &top) < 0)
    return sys_error("stat", rootfs.lowers.front());
  const std::string upper = data + "/upper", work = data + "/work";
  if (::mkdir(upper.c_str(), 0755) < 0) {
    if (errno != EEXIST) return sys_error("create directory", upper);
  } else {
    if (::geteuid() == 0 && ::chown(upper.c_str(), top.st_uid, top.st_gid) < 0)
      return sys_error("set owner of", upper);
    if (::chmod(upper.c_str(), top.st_mode & 07777) < 0) return sys_error("set mode of", upper);
  }
  // What an earlier run left in the work directory is of no use, and the kernel refuses that of a
  // volatile overlay (Documentation/filesystems/overlayfs).
  Fd parent = TRY(open_fd(data, O_PATH | O_DIRECTORY));
  TRY(sys::remove_tree(parent.get(), "work"));
  if (::mkdir(work.c_str(), 0700) < 0) return sys_error("create directory", work);
  return {};
}

/// For tests of the undoing: the number of the set-up step that is to fail.
unsigned injected_fault() {
  const char* text = ::getenv("CAISSON_FAULT_STEP");  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? 0 : static_cast<unsigned>(::strtoul(text, nullptr, 10));
}

/// The shim is no child of the embedding program. It keeps `claim` to its end.
Result<Channel> spawn_shim(const std::string& path, const Fd& claim) {
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_STREAM));
  // Descriptors are moved above those that the shim is to have.
  Fd control(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, 10));
  Fd lock(::fcntl(claim.get(), F_DUPFD_CLOEXEC, 10));
  if (!control || !lock) return sys_error("duplicate descriptor", "");
  TRY(spawn_detached({path}, {{control.get(), 3}, {lock.get(), 4}}));
  return Channel(std::move(pair.ours));
}

Result<StartedBox> launch(const Runtime::Impl& runtime, const store::BoxRow& row, bool attach,
                          const Fd& claim, backend::Started& started) {
  const std::int64_t begin = boot_ns();
  backend::StartRequest request;
  request.id = row.id;
  request.layout = runtime.layout;
  request.spec = TRY(spec::box_spec_from_state(row.spec_json));
  request.rootfs = TRY(image::resolve_source(request.spec.source, runtime.layout.home));
  request.attach = attach;
  request.fail_at = injected_fault();
  TRY(make_upper(runtime.layout.box(row.id), request.rootfs));
  const std::int64_t files = boot_ns();
  const std::string shim =
      runtime.shim.empty() ? TRY(find_shim(runtime.options, runtime.layout.run_dir)) : runtime.shim;
  Channel channel = TRY(spawn_shim(shim, claim));
  Result<> sent = channel.send(request);
  Result<backend::Reply> reply = sent ? channel.reply() : Result<backend::Reply>(sent.error());
  if (!reply && reply.error().reason == "box_gone")
    return make_error(Code::kInternal, "shim_died", "start box: its shim died");
  if (!reply) return reply.error();
  if (reply->started) started = *reply->started;
  started.stages.insert(started.stages.begin(),
                        {{"files", std::chrono::nanoseconds(files - begin)}});
  started.stages.push_back({"total", std::chrono::nanoseconds(boot_ns() - begin)});
  std::vector<Fd> fds = channel.take_fds();
  return StartedBox{std::move(channel), std::move(fds), std::move(request.spec)};
}

/// A box that has just ended keeps its claim until its shim is gone: that is worth a short wait.
Result<std::optional<Fd>> claim_box(const backend::Layout& layout, const store::BoxRow& row) {
  std::optional<Fd> claim = TRY(try_claim(layout, row.id));
  for (int i = 0; !claim && !is_live(row.state) && i < 2000; ++i) {
    ::usleep(1000);
    claim = TRY(try_claim(layout, row.id));
  }
  return claim;
}

}  // namespace

Result<StartedBox> start_box(const Runtime::Impl& runtime, const std::string& id, bool attach) {
  std::optional<store::BoxRow> row = TRY(runtime.state.find(id));
  if (!row)
    return make_error(Code::kNotFound, "box_not_found", format("start box '{}': it is gone", id));
  const std::string data = runtime.layout.box(id);
  if (::mkdir(data.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", data);
  std::optional<Fd> claim = TRY(claim_box(runtime.layout, *row));
  if (!claim) {
    if (!is_live(row->state)) row->state = "starting";
    return not_startable(*row);
  }
  // With the claim in hand a live state can only be left over.
  if (is_live(row->state)) {
    claim.reset();
    *row = TRY(settle(runtime, std::move(*row)));
    claim = TRY(claim_box(runtime.layout, *row));
    if (!claim) return not_startable(*row);
  }
  store::BoxUpdate starting{.state = "starting", .clear_run = true};
  if (!TRY(runtime.state.transition(id, states_before(BoxState::kStarting), starting)))
    return not_startable(*row);

  backend::Started started;
  Result<StartedBox> box = launch(runtime, *row, attach, *claim, started);
  store::BoxUpdate update;
  if (!box) {
    // A shim that fails clears up itself; for one that died we do.
    if (box.error().reason == "shim_died") {
      [[maybe_unused]] Result<> cleared = clear_remains(runtime, id);
    }
    update.state = "failed";
    update.error_reason = box.error().message;
    update.finished_ns = wall_ns();
  } else {
    update.state = "running";
    update.started_ns = wall_ns();
    update.init_pid = started.init_pid;
    update.stages_json = spec::to_json(started.stages);
    update.warnings_json = spec::to_json(started.warnings);
  }
  TRY(runtime.state.transition(id, {"starting"}, update));
  return box;
}

}  // namespace caisson::engine
