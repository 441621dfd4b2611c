#include "agent/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "agent/machine.h"
#include "container/container.h"
#include "sys/socket.h"

namespace caisson::agent {

using backend::ProcessEvent;
using backend::ProcessId;
using guest::Part;
using guest::stream_of;

namespace {

/// Copies of a machine have one disk, and each an identity of its own: an image's machine-id(5) is
/// covered with this machine's.
void show_machine_id(backend::StartRequest& box) {
  constexpr const char* kPlace = "/etc/machine-id";
  const auto is_taken = [&](const Mount& mount) {
    return mount.target == kPlace || mount.target == "/etc";
  };
  if (std::ranges::any_of(box.spec.mounts, is_taken)) return;
  for (const std::string& lower : box.rootfs.lowers) {
    struct stat info{};
    if (::lstat((lower + kPlace).c_str(), &info) < 0 || !S_ISREG(info.st_mode)) continue;
    Mount mount;
    mount.source = kMachineId;
    mount.target = kPlace;
    mount.read_only = true;
    box.spec.mounts.push_back(std::move(mount));
    return;
  }
}

}  // namespace

Result<std::unique_ptr<Server>> Server::create(Fd port) {
  guest::Link link = TRY(guest::Link::create(std::move(port)));
  std::unique_ptr<Server> server(new Server(std::move(link), TRY(container::prepare())));
  utsname names{};
  ::uname(&names);
  server->tell(guest::Hello{names.release});
  return server;
}

void Server::tell(const guest::FromGuest& message) {
  link_.send(wire::FrameType::kEvent, guest::encode(message));
}

Result<> Server::run() {
  while (!off_) {
    pollfd polled[] = {{link_.event_fd(), POLLIN, 0},
                       {sandbox_ && !frozen_ ? sandbox_->event_fd() : -1, POLLIN, 0},
                       {comparison_ ? comparison_->ended_fd() : -1, POLLIN, 0}};
    if (::poll(polled, 3, -1) < 0 && errno != EINTR) return sys_error("poll", "");
    if (polled[1].revents != 0 && !frozen_) on_sandbox();
    if (polled[2].revents != 0) on_compared();
    TRY(link_.run([this](const wire::Frame& frame) { return on_message(frame); }));
  }
  return {};
}

Result<> Server::on_message(const wire::Frame& frame) {
  guest::ToGuest message = TRY(guest::decode_to_guest(frame.payload));
  return std::visit([this](auto& m) { return handle(std::move(m)); }, message);
}

Result<> Server::handle(const guest::Wake& message) {
  TRY(set_clock(message.time_ns));
  TRY(seed_random(message.seed));
  hostname_ = message.hostname;
  TRY(set_machine_id(message.machine_id));
  if (sandbox_) TRY(set_hostname(hostname_, init_pid_));
  if (!message.resumed) TRY(probe_devices());
  guest::Awake awake;
  for (ProcessId id : running_)
    awake.processes.push_back({id, link_.writes(stream_of(id, Part::kIn)),
                               link_.reads(stream_of(id, Part::kOut)),
                               link_.reads(stream_of(id, Part::kErr))});
  link_.begin_again();
  tell(awake);
  return thaw();
}

/// No program runs on that could draw the same random numbers in two copies, or write what the disk
/// does not get.
Result<> Server::handle(const guest::Freeze& message) {
  // One that cannot stand still does not answer, and is not saved; it goes on with Thaw.
  if (sandbox_ && !sandbox_->pause()) return {};
  ::sync();
  frozen_ = true;
  link_.hold(true);
  tell(guest::Frozen{message.number});
  return {};
}

Result<> Server::handle(const guest::Thaw&) {
  link_.hold(false);
  return thaw();
}

Result<> Server::thaw() {
  if (std::exchange(frozen_, false) && sandbox_) TRY(sandbox_->resume());
  return {};
}

Result<> Server::handle(guest::Start message) {
  guest::Started started;
  if (Result<> done = start(std::move(message)); !done) started.error = done.error();
  tell(started);
  return {};
}

Result<> Server::start(guest::Start message) {
  if (!preparation_)
    return make_error(Code::kFailedPrecondition, "box_running", "start box: there was one");
  if (message.base) TRY(mount_disk(guest::kBaseDisk, guest::kBase, true));
  if (message.share) TRY(mount_share(guest::kShareTag, guest::kShare));
  for (const std::string& path : message.views)
    TRY(show(std::string(guest::kShare) + "/views" + path, path));
  // A submount is there when it was opened, and overlayfs takes none that is yet to come.
  if (!message.base)
    for (const std::string& lower : message.box.rootfs.lowers)
      TRY(open_fd(lower, O_RDONLY | O_DIRECTORY));
  TRY(mount_disk(guest::kBoxDisk, guest::kBox, false));
  container::Preparation preparation = std::move(*preparation_);
  preparation_.reset();
  preparation.facts.own_kernel = true;
  backend::StartRequest& box = message.box;
  box.spec.hostname = hostname_;
  show_machine_id(box);
  sandbox_ = container::make_container(
      {box.id, std::move(box.spec), std::move(box.rootfs), guest::kBox, "/run/caisson", box.fail_at,
       box.at_rest, box.trial.value_or(backend::Trial{})},
      std::move(preparation));
  Result<backend::Started> started = sandbox_->start();
  if (started) {
    init_pid_ = started->init_pid;
    return {};
  }
  sandbox_.reset();
  return started.error();
}

Result<> Server::handle(const guest::Compare& message) {
  if (Result<> begun = compare(message); !begun) tell(guest::Started{begun.error(), {}});
  return {};
}

Result<> Server::compare(const guest::Compare& message) {
  if (sandbox_ || comparison_)
    return make_error(Code::kFailedPrecondition, "box_running", "compare files of box: it runs");
  comparison_ = TRY(Comparison::start(message));
  return link_.read_from(stream_of(backend::kMainProcess, Part::kOut), comparison_->take_output());
}

/// All that it wrote is sent before its end is told.
void Server::on_compared() {
  guest::Started started;
  if (Result<> done = comparison_->finish(); !done) started.error = done.error();
  link_.drain(stream_of(backend::kMainProcess, Part::kOut));
  comparison_.reset();
  tell(started);
}

Result<> Server::handle(const guest::Spawn& message) {
  running_.insert(message.id);
  if (Result<> done = spawn(message); !done) tell_failed(message.id, done.error());
  return {};
}

void Server::tell_failed(ProcessId id, const Error& error) {
  for (Part part : {Part::kIn, Part::kOut, Part::kErr}) link_.forget(stream_of(id, part));
  terminals_.erase(id);
  running_.erase(id);
  tell(guest::Event{{ProcessEvent::Kind::kFailed, id, error}, 0, 0});
}

Result<> Server::spawn(const guest::Spawn& message) {
  if (!sandbox_)
    return make_error(Code::kFailedPrecondition, "box_not_running", "start process: no box runs");
  const ProcessId id = message.id;
  backend::Stdio stdio;
  if (message.spec.terminal) {
    backend::Terminal terminal = TRY(sandbox_->open_terminal(message.spec.user));
    const winsize size{message.window.rows, message.window.columns, 0, 0};
    if (size.ws_row != 0) ::ioctl(terminal.master.get(), TIOCSWINSZ, &size);
    stdio.in = TRY(duplicate(terminal.slave.get()));
    stdio.out = TRY(duplicate(terminal.slave.get()));
    stdio.err = std::move(terminal.slave);
    TRY(link_.write_to(stream_of(id, Part::kIn), TRY(duplicate(terminal.master.get()))));
    TRY(link_.read_from(stream_of(id, Part::kOut), TRY(duplicate(terminal.master.get()))));
    terminals_[id] = std::move(terminal.master);
  } else {
    Pipe in = TRY(make_pipe());
    Pipe out = TRY(make_pipe());
    Pipe err = TRY(make_pipe());
    TRY(link_.write_to(stream_of(id, Part::kIn), std::move(in.write)));
    TRY(link_.read_from(stream_of(id, Part::kOut), std::move(out.read)));
    TRY(link_.read_from(stream_of(id, Part::kErr), std::move(err.read)));
    stdio = {std::move(in.read), std::move(out.write), std::move(err.write)};
  }
  return sandbox_->spawn(id, message.spec, std::move(stdio));
}

Result<> Server::handle(const guest::ServeFiles& message) {
  running_.insert(message.id);
  if (Result<> done = serve_files(message.id); !done) tell_failed(message.id, done.error());
  return {};
}

Result<> Server::serve_files(ProcessId id) {
  if (!sandbox_)
    return make_error(Code::kFailedPrecondition, "box_not_running", "serve files: no box runs");
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_STREAM));
  TRY(link_.write_to(stream_of(id, Part::kIn), TRY(duplicate(pair.ours.get()))));
  TRY(link_.read_from(stream_of(id, Part::kOut), std::move(pair.ours)));
  return sandbox_->serve_files(id, std::move(pair.theirs));
}

Result<> Server::handle(const guest::Signal& message) {
  // A process that is gone meanwhile is no fault of the host's.
  if (sandbox_) [[maybe_unused]]
    const Result<> sent = sandbox_->signal(message.id, message.number, message.group);
  return {};
}

Result<> Server::handle(const guest::Resize& message) {
  const auto found = terminals_.find(message.id);
  const winsize size{message.window.rows, message.window.columns, 0, 0};
  if (found != terminals_.end()) ::ioctl(found->second.get(), TIOCSWINSZ, &size);
  return {};
}

Result<> Server::handle(const guest::AskFigures&) {
  tell(figures());
  return {};
}

Result<> Server::handle(const guest::End& message) {
  if (!sandbox_)
    tell(guest::Gone{last_});
  else if (message.force)
    sandbox_->kill_all();
  else
    sandbox_->end();
  return {};
}

Result<> Server::handle(const guest::PowerOff&) {
  off_ = true;
  return {};
}

guest::Figures Server::figures() {
  if (!sandbox_) return last_;
  return {sandbox_->usage(), sandbox_->oom_kills(), sandbox_->pid_limit_hits(),
          sandbox_->disk_bytes()};
}

/// What a process wrote is sent before its end is told.
void Server::on_sandbox() {
  for (ProcessEvent& event : sandbox_->events()) {
    if (event.kind == ProcessEvent::Kind::kFailed && running_.contains(event.id)) {
      tell_failed(event.id, *event.error);
      continue;
    }
    // The process that could not become a program ends too.
    if (!running_.contains(event.id)) continue;
    if (event.kind == ProcessEvent::Kind::kEnded) {
      running_.erase(event.id);
      link_.forget_sink(stream_of(event.id, Part::kIn));  // as when the client has gone
      link_.drain(stream_of(event.id, Part::kOut));
      link_.drain(stream_of(event.id, Part::kErr));
      terminals_.erase(event.id);
    }
    const std::uint64_t oom_kills = sandbox_->oom_kills(), hits = sandbox_->pid_limit_hits();
    tell(guest::Event{std::move(event), oom_kills, hits});
  }
  if (!sandbox_->gone()) return;
  link_.drain_all();
  last_ = figures();
  [[maybe_unused]] const Result<> cleaned = sandbox_->cleanup();
  sandbox_.reset();
  tell(guest::Gone{last_});
}

}  // namespace caisson::agent
