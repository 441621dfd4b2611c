#include "caisson/box.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "engine/audit.h"
#include "engine/box_impl.h"
#include "engine/exec_impl.h"
#include "engine/record.h"
#include "sys/socket.h"

namespace caisson {

using engine::Channel;

Result<store::BoxRow> Box::Impl::row() const {
  std::optional<store::BoxRow> found = TRY(runtime->state.find(id));
  if (!found)
    return make_error(Code::kNotFound, "box_not_found", format("find box '{}': it is gone", id));
  return std::move(*found);
}

Result<Channel> Box::Impl::connect() const {
  Result<Fd> dir = open_fd(runtime->layout.box(id), O_PATH | O_DIRECTORY);
  Result<Fd> socket =
      dir ? sys::connect_at(dir->get(), backend::Layout::socket(id)) : Result<Fd>(dir.error());
  if (socket) return Channel(std::move(*socket));
  // A box that was never started has no directory, one that has ended no socket or nobody there.
  if (const int err = socket.error().sys_errno; err != ENOENT && err != ECONNREFUSED)
    return socket.error();
  store::BoxRow now = TRY(engine::settle(*runtime, TRY(row())));
  return make_error(
      Code::kFailedPrecondition, "box_not_running", format("use box '{}': it is {}", id, now.state),
      now.state == "configured" || now.state == "stopped" ? format("caisson start {}", id) : "");
}

Result<backend::Reply> Box::Impl::ask(const backend::Request& request) const {
  Channel channel = TRY(connect());
  TRY(channel.send(request));
  return channel.reply();
}

Result<store::BoxRow> engine::new_row(const BoxSpec& spec) {
  store::BoxRow row;
  row.id = TRY(make_ulid());
  row.name = spec.name;
  row.state = "configured";
  row.spec_json = to_json(spec);
  row.created_ns = wall_ns();
  row.auto_remove = spec.auto_remove;
  return row;
}

Result<std::optional<Fd>> engine::end_and_claim(const Box::Impl& box) {
  const Runtime::Impl& runtime = *box.runtime;
  const std::int64_t deadline = boot_ns() + 30'000'000'000;
  for (;;) {
    Result<std::optional<Fd>> claim = try_claim(runtime.layout, box.id);
    if (!claim && claim.error().sys_errno == ENOENT) return std::optional<Fd>();  // never started
    if (!claim) return claim.error();
    if (*claim) {
      // What a vanished shim left is settled without the claim.
      if (const store::BoxRow row = TRY(box.row()); !is_live(row.state)) return std::move(*claim);
      claim->reset();
      TRY(settle(runtime, TRY(box.row())));
      continue;
    }
    // One that is just being started does not listen yet.
    const Result<backend::Reply> reply = box.ask(backend::StopRequest{});
    if (!reply && reply.error().reason != "box_not_running" && reply.error().reason != "box_gone")
      return reply.error();
    if (boot_ns() > deadline)
      return make_error(Code::kUnavailable, "box_busy",
                        format("end box '{}': it does not end", box.id), "try once more");
    ::usleep(200);
  }
}

void engine::add_status(const Runtime::Impl& runtime, BoxInfo& info) {
  if (!info.spec.health && info.spec.restart.mode == RestartMode::kNo) return;
  const Result<std::string> text =
      read_file(format("{}/{}", runtime.layout.box(info.id), backend::Layout::kStatus), 1u << 20);
  const Result<backend::Status> status =
      text ? backend::decode_status(*text) : Result<backend::Status>(text.error());
  if (!status) return;
  info.restarts = status->restarts;
  if (!is_live(info.state)) return;
  info.restarting = status->restarting;
  if (status->restarts > 0 || status->restarting) {
    info.init_pid = status->init_pid > 0 ? std::optional(status->init_pid) : std::nullopt;
    if (status->started_ns > 0) info.started_ns = status->started_ns;
  }
  info.health = status->health;
  info.health_output = status->health_output;
}

namespace {

/// What the record says of the end of a box whose shim went away.
Result<ExitInfo> recorded_end(const Box::Impl& box) {
  Result<store::BoxRow> row = box.row();
  // The shim holds its claim a moment longer than its connections.
  for (int i = 0; row && engine::is_live(row->state) && i < 200; ++i) {
    row = engine::settle(*box.runtime, std::move(*row));
    if (row && engine::is_live(row->state)) ::usleep(5000);
  }
  if (!row) return row.error();
  return engine::exit_of(*row);
}

/// Commits an end that the shim has told. It wrote its own record, with the exact time, before.
void commit_told(const Box::Impl& box, const ExitInfo& exit) {
  Result<std::string> left = read_file(box.runtime->layout.ended() + "/" + box.id, 1u << 20);
  backend::EndedRecord record{exit, wall_ns()};
  if (left) record = backend::decode_ended(*left).value_or(record);
  // Whoever opens the home next repeats what fails here.
  [[maybe_unused]] Result<> committed = engine::commit_end(*box.runtime, box.id, record);
}

/// The main process as an Exec: output carried by the shim, its end committed to the record.
Result<Exec> main_exec(const std::shared_ptr<const Box::Impl>& box, Channel channel,
                       std::vector<Fd> fds, const BoxSpec& spec,
                       const std::array<std::uint64_t, 2>& offsets = {}) {
  Exec::Impl::Parts parts{.channel = std::move(channel), .carried = true, .offsets = offsets};
  if (!fds.empty()) parts.in = std::move(fds[0]);
  if (spec.tty && parts.in) parts.terminal = TRY(duplicate(parts.in.get()));
  parts.limit = spec.limits.output;
  parts.on_exit = [box](const ExitInfo& exit) { commit_told(*box, exit); };
  parts.on_lost = [box] { return recorded_end(*box); };
  return Exec(TRY(Exec::Impl::create(std::move(parts))));
}

}  // namespace

Box::Box(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

const std::string& Box::id() const { return impl_->id; }

Result<> Box::start() {
  TRY(engine::start_box(*impl_->runtime, impl_->id, false));
  return {};
}

Result<Exec> Box::start_attached() {
  engine::StartedBox started = TRY(engine::start_box(*impl_->runtime, impl_->id, true));
  return main_exec(impl_, std::move(started.channel), std::move(started.fds), started.spec);
}

namespace {

Result<ExitInfo> lost_exec() {
  ExitInfo info;
  info.reason = ExitReason::kLost;
  return info;
}

}  // namespace

Result<Exec> Box::attach(const AttachOptions& options) {
  Channel channel = TRY(impl_->connect());
  TRY(channel.send(backend::AttachRequest{options}));
  const backend::Reply reply = TRY(channel.reply());
  std::vector<Fd> fds = channel.take_fds();
  if (options.exec) {
    Exec::Impl::Parts parts{.channel = std::move(channel), .carried = true, .id = options.exec};
    parts.offsets = reply.offsets;
    parts.on_lost = lost_exec;
    return Exec(TRY(Exec::Impl::create(std::move(parts))));
  }
  return main_exec(impl_, std::move(channel), std::move(fds), TRY(info()).spec, reply.offsets);
}

Result<Exec> Box::exec(const ExecSpec& spec) {
  TRY(validate(spec));
  Exec::Impl::Parts parts{.channel = TRY(impl_->connect()), .limit = spec.output};
  parts.on_lost = lost_exec;
  if (spec.tty) {
    TRY(parts.channel.send(backend::ExecRequest{spec}));
  } else {
    Fd in;
    if (spec.open_stdin) {
      Pipe pipe = TRY(make_pipe());
      in = std::move(pipe.read);
      parts.in = std::move(pipe.write);
    } else {
      in = TRY(open_fd("/dev/null", O_RDONLY));
    }
    if (spec.replay_bytes) {
      parts.carried = true;
      TRY(parts.channel.send(backend::ExecRequest{spec}, {in.get()}));
    } else {
      Pipe out = TRY(make_pipe());
      Pipe err = TRY(make_pipe());
      TRY(parts.channel.send(backend::ExecRequest{spec},
                             {in.get(), out.write.get(), err.write.get()}));
      parts.out = std::move(out.read);
      parts.err = std::move(err.read);
    }
  }
  parts.id = TRY(parts.channel.reply()).exec;
  std::vector<Fd> fds = parts.channel.take_fds();
  if (spec.tty && !fds.empty()) {
    parts.in = TRY(duplicate(fds[0].get()));
    parts.terminal = TRY(duplicate(fds[0].get()));
    parts.out = std::move(fds[0]);
  }
  return Exec(TRY(Exec::Impl::create(std::move(parts))));
}

Result<> Box::signal(int number) {
  [[maybe_unused]] const backend::Reply reply = TRY(impl_->ask(backend::SignalRequest{number}));
  return {};
}

Result<> Box::pause() {
  [[maybe_unused]] const backend::Reply reply = TRY(impl_->ask(backend::PauseRequest{}));
  return {};
}

Result<> Box::resume() {
  const BoxInfo now = TRY(info());
  if (now.exit && now.exit->reason == ExitReason::kHibernated && !engine::is_live(now.state))
    return start();
  [[maybe_unused]] const backend::Reply reply = TRY(impl_->ask(backend::ResumeRequest{}));
  return {};
}

Result<> Box::stop(std::chrono::nanoseconds grace) {
  const store::BoxRow row = TRY(engine::settle(*impl_->runtime, TRY(impl_->row())));
  if (!engine::is_live(row.state)) return {};
  Result<backend::Reply> reply = impl_->ask(backend::StopRequest{grace});
  if (!reply && reply.error().reason != "box_not_running" && reply.error().reason != "box_gone")
    return reply.error();
  TRY(wait());
  return {};
}

Result<> Box::kill() { return stop(std::chrono::nanoseconds(0)); }

Result<ExitInfo> Box::wait(Deadline deadline) {
  Result<Channel> channel = impl_->connect();
  if (channel && channel->send(backend::WaitRequest{})) {
    Result<wire::Frame> frame = channel->receive(deadline);
    if (frame && frame->type == wire::FrameType::kEvent) {
      ExitInfo exit = TRY(backend::decode_exit(frame->payload));
      commit_told(*impl_, exit);
      channel->await_close();
      return exit;
    }
    if (!frame && frame.error().code == Code::kDeadlineExceeded) return frame.error();
  } else if (!channel && channel.error().reason != "box_not_running") {
    return channel.error();
  }
  const store::BoxRow row = TRY(impl_->row());
  if (row.state == "configured" || row.state == "failed")
    return make_error(Code::kFailedPrecondition, "box_not_running",
                      format("wait for box '{}': it is {}", impl_->id, row.state));
  return recorded_end(*impl_);
}

Result<> Box::remove(bool force) {
  store::BoxRow row = TRY(engine::settle(*impl_->runtime, TRY(impl_->row())));
  if (engine::is_live(row.state) && !force)
    return make_error(Code::kFailedPrecondition, "box_running",
                      format("remove box '{}': it is {}", impl_->id, row.state),
                      "stop it first, or force the removal");
  const std::optional<Fd> claim = TRY(engine::end_and_claim(*impl_));
  TRY(engine::remove_files(*impl_->runtime, impl_->id));
  if (!TRY(engine::erase_box(*impl_->runtime, row)))
    return make_error(Code::kNotFound, "box_not_found",
                      format("remove box '{}': it is gone", impl_->id));
  engine::tell_removed(*impl_->runtime, impl_->id);
  return {};
}

Result<BoxInfo> Box::info() const {
  BoxInfo info = TRY(engine::info_of(TRY(engine::settle(*impl_->runtime, TRY(impl_->row())))));
  engine::add_status(*impl_->runtime, info);
  return info;
}

Result<Usage> Box::stats() const {
  Result<backend::Reply> reply = impl_->ask(backend::StatsRequest{});
  if (reply) return reply->usage.value_or(Usage{});
  const BoxInfo now = TRY(info());
  if (now.exit) return now.exit->usage;
  return reply.error();
}

}  // namespace caisson
