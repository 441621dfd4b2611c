#include "shim/shim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "container/container.h"
#include "image/changes.h"
#include "image/disk_image.h"
#include "image/flatten.h"
#include "image/layer_tar.h"
#include "sys/socket.h"
#include "sys/tree.h"
#include "vm/microvm.h"
#include "vm/shares.h"

namespace caisson::shim {

using backend::kMainProcess;
using backend::ProcessId;

Shim::Shim(Poller poller, Fd control, bool prepares)
    : poller_(std::move(poller)), boxes_have_our_id_(::geteuid() != 0) {
  add_connection(std::move(control));
  if (prepares) preparation_.emplace(container::prepare());
}

int Shim::run() {
  while (!done_ ||
         std::ranges::any_of(connections_, [](const auto& c) { return c.second->owes(); })) {
    poller_.run_once();
    dropped_.clear();
    // Nobody is left who could say what to start.
    if (!sandbox_ && !last_run_ && connections_.empty()) break;
  }
  return status_;
}

void Shim::add_connection(Fd socket) {
  [[maybe_unused]] Result<> set = set_nonblocking(socket.get());
  const int fd = socket.get();
  connections_[fd] = std::make_unique<Connection>(std::move(socket));
  poller_.watch(fd, EPOLLIN, [this, fd](std::uint32_t events) { on_ready(fd, events); });
}

void Shim::accept_clients() {
  for (;;) {
    Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) return;
    // The directory's mode keeps others out; this holds even if somebody changes it.
    if (sys::trusts_peer(client.get(), boxes_have_our_id_).value_or(false))
      add_connection(std::move(client));
  }
}

void Shim::on_ready(int fd, std::uint32_t events) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if ((events & (EPOLLIN | EPOLLHUP)) != 0 && !read_frames(connection)) return drop(fd);
  if (connections_.contains(fd)) flush(connection);
}

bool Shim::read_frames(Connection& connection) {
  const bool open = connection.receive();
  for (;;) {
    Result<std::optional<wire::Frame>> frame = connection.next();
    if (!frame) return false;
    if (!*frame) return open;
    if (!on_frame(connection, **frame)) return false;
  }
}

bool Shim::on_frame(Connection& connection, const wire::Frame& frame) {
  if (frame.type == wire::FrameType::kCredit) {
    const Result<std::uint64_t> bytes = wire::decode_credit(frame);
    if (!bytes) return false;
    connection.grant(*bytes);
    pump(connection);
    update_room();
    return true;
  }
  if (frame.type != wire::FrameType::kRequest) return false;
  Result<backend::Request> request = backend::decode_request(frame.payload);
  if (request)
    on_request(connection, std::move(*request));
  else
    connection.reply({.error = request.error()});
  return true;
}

void Shim::on_request(Connection& connection, backend::Request request) {
  const bool start = std::holds_alternative<backend::StartRequest>(request) ||
                     std::holds_alternative<backend::RemoveRequest>(request) ||
                     std::holds_alternative<backend::DiskRequest>(request) ||
                     std::holds_alternative<backend::CopyRequest>(request) ||
                     std::holds_alternative<backend::DiffRequest>(request) ||
                     std::holds_alternative<backend::LayerRequest>(request) ||
                     std::holds_alternative<backend::CompareRequest>(request) ||
                     std::holds_alternative<backend::WarmRequest>(request);
  const bool ends = std::holds_alternative<backend::StopRequest>(request) ||
                    std::holds_alternative<backend::KillRequest>(request);
  bool fits = start ? box_.id.empty() : running_ && !done_;
  if (!start && box_.at_rest)
    fits = fits && !ending_ && (ends || std::holds_alternative<backend::FilesRequest>(request));
  if (last_run_)  // until the next run has begun
    fits = ends || std::holds_alternative<backend::WaitRequest>(request) ||
           std::holds_alternative<backend::StartedRequest>(request);
  if (!fits) {
    connection.reply({.error = make_error(Code::kFailedPrecondition, "box_not_running",
                                          "the box is not in a state for this request")});
    return;
  }
  std::visit([&](auto& r) { handle(connection, std::move(r)); }, request);
}

void Shim::flush(Connection& connection) {
  const int fd = connection.fd();
  if (!connection.flush()) return drop(fd);
  pump(connection);  // there is room again for what came before
  if (!connection.flush() || (leaving_ && !connection.owes())) return drop(fd);
  poller_.change(fd, connection.interest());
  if (connection.carried) update_room();
}

void Shim::drop(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  poller_.forget(fd);
  dropped_.push_back(std::move(found->second));
  connections_.erase(found);
  for (auto& [id, process] : processes_)
    if (process.client == fd) process.client = -1;
  std::erase_if(waiting_, [fd](const auto& waiting) { return waiting.first == fd; });
  release_hold();
  update_room();
  note_activity();
  if (!box_.at_rest || !running_ || !connections_.empty()) return;
  close_listener();  // who comes now makes another one
  end_sandbox();
}

void Shim::attach(Connection& connection, const std::optional<backend::Started>& started,
                  const AttachOptions& options) {
  connection.role = Role::kMain;
  backend::Reply reply;
  reply.started = started;
  note_activity();
  std::vector<Fd> fds;
  if (box_.spec.tty) {
    if (Result<Fd> master = duplicate(main_output().out_fd())) fds.push_back(std::move(*master));
  } else if (main_stdin_) {
    fds.push_back(std::move(main_stdin_));
  }
  reply.offsets = follow(connection, kMainProcess, options);
  connection.reply(reply, std::move(fds));
  pump(connection);
  update_room();
}

void Shim::handle(Connection& connection, backend::StartRequest request) {
  box_ = std::move(request);
  held_ = connection.take_fds();
  processes_[kMainProcess].client = connection.fd();
  if (Result<> begun = start(); !begun) fail_start(begun.error());
}

void Shim::handle(Connection& connection, const backend::ExecRequest& request) {
  if (paused_ == Paused::kHeld) {
    waiting_.emplace_back(connection.fd(), request);
    return;
  }
  const ExecSpec& spec = request.spec;
  const std::vector<Fd> fds = connection.take_fds();
  backend::Stdio stdio;
  Fd master;
  Pipe out, err;
  const auto prepare = [&]() -> Result<> {
    TRY(wake());
    if (spec.tty) {
      backend::Terminal terminal =
          TRY(sandbox_->open_terminal(spec.user.empty() ? box_.spec.user : spec.user));
      stdio.in = TRY(duplicate(terminal.slave.get()));
      stdio.out = TRY(duplicate(terminal.slave.get()));
      stdio.err = std::move(terminal.slave);
      master = std::move(terminal.master);
    } else if (spec.replay_bytes && fds.size() == 1) {
      out = TRY(make_pipe());
      err = TRY(make_pipe());
      stdio.in = TRY(duplicate(fds[0].get()));
      stdio.out = std::move(out.write);
      stdio.err = std::move(err.write);
    } else if (!spec.replay_bytes && fds.size() == 3) {
      stdio.in = TRY(duplicate(fds[0].get()));
      stdio.out = TRY(duplicate(fds[1].get()));
      stdio.err = TRY(duplicate(fds[2].get()));
    } else {
      return make_error(Code::kInvalidArgument, "protocol_error",
                        "start exec: other descriptors must come with the request");
    }
    backend::ProcessSpec image{spec.command,
                               box_.spec.env,
                               spec.workdir.empty() ? box_.spec.workdir : spec.workdir,
                               spec.user.empty() ? box_.spec.user : spec.user,
                               spec.user.empty() ? box_.spec.groups : std::vector<std::string>{},
                               spec.tty};
    for (const auto& [key, value] : spec.env) image.env[key] = value;
    return sandbox_->spawn(next_process_, image, std::move(stdio));
  };
  if (Result<> spawned = prepare(); !spawned) {
    connection.reply({.error = spawned.error()});
    return;
  }
  Process& process = processes_[next_process_];
  process.terminal = std::move(master);
  process.command = spec.command;
  process.user = spec.user;
  process.has_terminal = spec.tty;
  process.asked_ns = boot_ns();
  connection.role = Role::kExec;
  connection.process = next_process_;
  process.client = connection.fd();
  process.oom_before = sandbox_->oom_kills();
  if (spec.replay_bytes) {
    Carrier& carrier = carry(next_process_, nullptr, *spec.replay_bytes);
    carrier.limit = spec.output;
    carrier.output->set_room(0);  // until its client has been told of it
    carrier.output->open(std::move(out.read), std::move(err.read));
  }
  if (spec.wall_time) limit_time(next_process_, *spec.wall_time);
  ++next_process_;
  note_activity();
}

void Shim::handle(Connection& connection, backend::FilesRequest request) {
  if (paused_ == Paused::kHeld) {
    waiting_.emplace_back(connection.fd(), request);
    return;
  }
  std::vector<Fd> fds = connection.take_fds();
  const auto serve = [&]() -> Result<> {
    TRY(wake());
    if (fds.size() != 1)
      return make_error(Code::kInvalidArgument, "protocol_error",
                        "serve files: a socket must come with the request");
    return sandbox_->serve_files(next_process_, std::move(fds[0]));
  };
  if (Result<> served = serve(); !served) {
    connection.reply({.error = served.error()});
    return;
  }
  connection.role = Role::kFiles;
  connection.process = next_process_;
  Process& process = processes_[next_process_++];
  process.client = connection.fd();
  process.kind = Process::Kind::kFiles;
  note_activity();
}

void Shim::handle(Connection& connection, backend::AttachRequest request) {
  if (!request.options.exec) return attach(connection, {}, request.options);
  const ProcessId id = *request.options.exec;
  const auto found = carriers_.find(id);
  if (found == carriers_.end() || id == kMainProcess) {
    connection.reply({.error = make_error(Code::kNotFound, "exec_not_found",
                                          format("attach to exec '{}': there is none", id))});
    return;
  }
  connection.role = Role::kExec;
  connection.process = id;
  backend::Reply reply;
  reply.offsets = follow(connection, id, request.options);
  connection.reply(reply);
  connection.owed_exit = found->second->exit;
  pump(connection);
  update_room();
}

void Shim::handle(Connection& connection, backend::WaitRequest) { connection.role = Role::kWaiter; }

void Shim::handle(Connection& connection, backend::SignalRequest request) {
  const auto found = processes_.find(connection.process);
  backend::Reply reply;
  if (found != processes_.end()) {
    found->second.facts.sent_signals.insert(request.number);
    Result<> sent = sandbox_->signal(connection.process, request.number, false);
    // Other signals wait until a paused box goes on, as pending ones do.
    if (sent && request.number == SIGKILL) sent = resume();
    if (!sent) reply.error = sent.error();
  }
  if (connection.role == Role::kNew) connection.reply(reply);
}

void Shim::handle(Connection& connection, backend::KillRequest request) {
  if (connection.role == Role::kExec) {
    const auto found = processes_.find(connection.process);
    if (found == processes_.end()) return;
    if (!found->second.facts.ended_by_us) found->second.facts.ended_by_us = request.reason;
    [[maybe_unused]] Result<> sent = sandbox_->signal(connection.process, SIGKILL, true);
    return;
  }
  stays_ended_ = true;
  end_box(request.reason);
  if (connection.role == Role::kNew) connection.reply({});
}

void Shim::handle(Connection& connection, backend::StopRequest request) {
  stays_ended_ = true;
  if (box_.at_rest)
    end_sandbox();
  else
    stop_box(ExitReason::kKilled, request.grace);
  if (connection.role == Role::kNew) connection.reply({});
}

void Shim::handle(Connection& connection, const backend::RemoveRequest& request) {
  without_box(connection, [&]() -> Result<> {
    Fd parent = TRY(open_fd(request.directory, O_PATH | O_DIRECTORY));
    return sys::remove_tree(parent.get(), request.name);
  });
}

void Shim::handle(Connection& connection, const backend::DiskRequest& request) {
  without_box(connection, [&] {
    return image::make_disk_image(
        {request.lowers, request.lower_parent, request.directory, request.name, request.digest});
  });
}

void Shim::handle(Connection& connection, const backend::CopyRequest& request) {
  without_box(connection, [&]() -> Result<> {
    Fd parent = TRY(open_fd(request.directory, O_RDONLY | O_DIRECTORY));
    return image::copy_layers(request.trees, parent.get(), request.name);
  });
}

void Shim::handle(Connection& connection, const backend::DiffRequest& request) {
  const std::vector<Fd> fds = connection.take_fds();
  without_box(connection, [&]() -> Result<> {
    if (fds.empty())
      return make_error(Code::kInvalidArgument, "protocol_error", "compare: no descriptor came");
    return image::write_changes(request.before, request.after, [&](std::string_view bytes) {
      return write_all(fds[0].get(), bytes, "differences");
    });
  });
}

void Shim::handle(Connection& connection, const backend::LayerRequest& request) {
  const std::vector<Fd> fds = connection.take_fds();
  without_box(connection, [&]() -> Result<> {
    if (fds.empty())
      return make_error(Code::kInvalidArgument, "protocol_error", "pack layer: no descriptor came");
    return image::write_layer(
        request.before, request.after, {request.swapped_uid, request.swapped_gid},
        [&](std::string_view bytes) { return write_all(fds[0].get(), bytes, "layer"); });
  });
}

/// Work that needs the ids of boxes, and nothing else of this program.
void Shim::without_box(Connection& connection, const std::function<Result<>()>& work) {
  Result<> done = container::enter_box_ids();
  if (done) done = work();
  answer_and_leave(connection, done);
}

namespace {

bool is_there(const Connection& client) {
  pollfd polled{client.fd(), POLLRDHUP, 0};
  return ::poll(&polled, 1, 0) <= 0;
}

}  // namespace

/// A machine has those ids by itself.
void Shim::handle(Connection& connection, const backend::CompareRequest& request) {
  const std::vector<Fd> fds = connection.take_fds();
  const auto compare = [&]() -> Result<> {
    if (fds.empty())
      return make_error(Code::kInvalidArgument, "protocol_error", "compare: no descriptor came");
    vm::MicroVmOptions options{request.box, request.directory, !boxes_have_our_id_, {}};
    if (vm::needs_shares(request.box)) options.preparation.emplace(TRY(container::prepare()));
    return vm::compare_in_microvm(std::move(options), request, fds[0].get(),
                                  [&] { return is_there(connection); });
  };
  answer_and_leave(connection, compare());
}

void Shim::handle(Connection& connection, const backend::WarmRequest& request) {
  Result<std::vector<std::string>> warm =
      vm::warm_microvm({request.box, request.directory, !boxes_have_our_id_, {}},
                       [&] { return is_there(connection); });
  backend::Reply reply;
  if (warm) reply.started.emplace().warnings = std::move(*warm);
  answer_and_leave(connection, warm ? Result<>() : warm.error(), std::move(reply));
}

void Shim::answer_and_leave(Connection& connection, const Result<>& done, backend::Reply reply) {
  if (!done) reply.error = done.error();
  connection.reply(reply);
  done_ = true;
}

void Shim::handle(Connection& connection, backend::StartedRequest) {
  connection.reply({.started = started_});
}

void Shim::handle(Connection& connection, backend::StatsRequest) {
  connection.reply({.usage = sandbox_->usage()});
}

}  // namespace caisson::shim
