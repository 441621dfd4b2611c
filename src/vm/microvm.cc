#include "vm/microvm.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "vm/disk.h"
#include "vm/microvm_impl.h"
#include "vm/overhead.h"

namespace caisson::vm {

using backend::ProcessEvent;
using backend::ProcessId;
using guest::Part;
using guest::stream_of;

namespace {

/// For a reader to take what a process wrote, when nothing can go on before that.
constexpr std::int64_t kReadTime = 5'000'000'000;
/// For a guest to write to its disk what the box has written, and to be gone.
constexpr std::int64_t kSyncTime = 30'000'000'000;

/// A guest may say what it likes; a sum that no box can have used must not overflow.
void bound(Usage& usage) {
  constexpr std::chrono::nanoseconds kMost = std::chrono::hours(24 * 365 * 100);
  for (auto* time : {&usage.cpu_user, &usage.cpu_system})
    if (*time) *time = std::clamp(**time, std::chrono::nanoseconds(0), kMost);
}

Error silent() { return make_error(Code::kUnavailable, "guest_died", "talk to guest: it is gone"); }

}  // namespace

MicroVm::~MicroVm() {
  kill_machine();
  if (qemu_.pid > 0) ::waitpid(qemu_.pid, nullptr, 0);
  files_.reset();
  [[maybe_unused]] const Result<> cleaned = cleanup();
}

Result<> MicroVm::watch(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return sys_error("watch guest", "");
  return {};
}

void MicroVm::tell(const guest::ToGuest& message) {
  if (link_) link_->send(wire::FrameType::kRequest, guest::encode(message));
}

void MicroVm::fail(const Error& error) {
  if (std::exchange(failed_, true)) return;
  if (console_) console_->note(error.message);
  kill_machine();
}

void MicroVm::run_link() {
  if (!link_ || failed_) return;
  const Result<> went = link_->run([this](const wire::Frame& frame) { return on_message(frame); });
  if (went) return;
  if (!box_gone_ || went.error().reason != "link_closed") return fail(went.error());
  link_->close_channel();
  run_link();  // goes on with what has come
}

/// Nobody has to read what a box wrote; the box ends all the same.
bool MicroVm::gone() const {
  return ended_ && (!files_ || files_->gone()) &&
         (failed_ || is_written(backend::kMainProcess) || boot_ns() - ended_ns_ > kReadTime);
}

Result<> MicroVm::on_message(const wire::Frame& frame) {
  guest::FromGuest message = TRY(guest::decode_from_guest(frame.payload));
  return std::visit([this](auto& m) { return handle(std::move(m)); }, message);
}

Result<> MicroVm::handle(const guest::Hello&) {
  hello_ = true;
  return {};
}

Result<> MicroVm::handle(const guest::Awake& message) {
  if (!std::exchange(awake_, true) && resumes_) return adopt(message.processes);
  return {};
}

Result<> MicroVm::handle(const guest::Frozen& message) {
  frozen_ = message.number;
  return {};
}

Result<> MicroVm::handle(guest::Started message) {
  started_ = std::move(message);
  return {};
}

Result<> MicroVm::handle(const guest::Figures& message) {
  figures_ = message;
  bound(figures_.usage);
  ++answers_;
  silent_ = false;
  return {};
}

Result<> MicroVm::handle(const guest::Gone& message) {
  figures_ = message.figures;
  bound(figures_.usage);
  if (!box_gone_) let_go();
  return {};
}

/// The guest tells of processes that were asked for, and in the order in which things happen.
Result<> MicroVm::check(const ProcessEvent& event) const {
  const auto found = processes_.find(event.id);
  const bool starts = event.kind != ProcessEvent::Kind::kEnded;
  const Phase before = starts ? Phase::kAsked : Phase::kStarted;
  if (found != processes_.end() && found->second.phase == before) return {};
  return make_error(Code::kInvalidArgument, "protocol_error",
                    format("receive event: process {} cannot have it", event.id));
}

Result<> MicroVm::handle(guest::Event message) {
  ProcessEvent& event = message.event;
  const auto adopted = processes_.find(event.id);
  // It may have been about to begin.
  if (adopted != processes_.end() && adopted->second.adopted &&
      event.kind != ProcessEvent::Kind::kEnded)
    return {};
  TRY(check(event));
  figures_.oom_kills = std::max(figures_.oom_kills, message.oom_kills);
  figures_.pid_limit_hits = std::max(figures_.pid_limit_hits, message.pid_limit_hits);
  Process& process = processes_.at(event.id);
  process.phase = event.kind == ProcessEvent::Kind::kEnded ? Phase::kEnded : Phase::kStarted;
  if (event.kind == ProcessEvent::Kind::kFailed) {
    for (Part part : {Part::kIn, Part::kOut, Part::kErr}) link_->forget(stream_of(event.id, part));
    processes_.erase(event.id);
  } else if (event.kind == ProcessEvent::Kind::kEnded) {
    // Nobody reads what it has not read.
    link_->forget_source(stream_of(event.id, Part::kIn));
  }
  // Whoever asked for it is gone.
  if (process.adopted && event.id != backend::kMainProcess)
    processes_.erase(event.id);
  else
    events_.push_back({std::move(event), boot_ns()});
  return {};
}

bool MicroVm::is_written(ProcessId id) const {
  return !link_ || std::ranges::all_of(std::array{Part::kOut, Part::kErr}, [&](Part part) {
    return link_->written(stream_of(id, part));
  });
}

/// The end of an exec waits until what came before it is written; that of the main process is read
/// to its end after it.
bool MicroVm::is_told(const Held& held) const {
  const ProcessEvent& event = held.event;
  return event.kind != ProcessEvent::Kind::kEnded || event.id == backend::kMainProcess || ended_ ||
         told_to_end_ || is_written(event.id) || boot_ns() - held.since_ns > kReadTime;
}

/// Once a second while something may take too long.
void MicroVm::look_at_time() {
  if (box_gone_ && !ended_ && boot_ns() - gone_ns_ > kSyncTime) kill_machine();
  const bool ticks = !events_.empty() || box_gone_ || ended_;
  if (std::exchange(ticks_, ticks) == ticks) return;
  itimerspec time{};
  if (ticks) time.it_interval.tv_sec = time.it_value.tv_sec = 1;
  ::timerfd_settime(timer_.get(), 0, &time, nullptr);
}

std::vector<ProcessEvent> MicroVm::events() {
  std::uint64_t ignored = 0;
  for (int fd : {kick_.get(), timer_.get()}) [[maybe_unused]]
    const ssize_t n = ::read(fd, &ignored, sizeof ignored);
  if (console_) console_->read();
  run_link();
  read_terminals();
  reap();
  look_at_files();
  std::vector<ProcessEvent> out;
  std::erase_if(events_, [&](Held& held) {
    if (!is_told(held)) return false;
    if (held.event.kind == ProcessEvent::Kind::kEnded) processes_.erase(held.event.id);
    out.push_back(std::move(held.event));
    return true;
  });
  look_at_time();
  return out;
}

/// Without its server the guest would wait for its files for ever.
void MicroVm::look_at_files() {
  if (!files_) return;
  const Result<> serves = files_->serves();
  if (!serves && !box_gone_ && !ended_) fail(serves.error());
}

void MicroVm::read_terminals() {
  for (auto& [id, process] : processes_) {
    if (!process.terminal) continue;
    const std::optional<guest::WindowSize> size = process.terminal->read();
    if (size && size->rows != 0) tell(guest::Resize{id, *size});
    if (process.terminal->ended()) process.terminal.reset();
  }
}

void MicroVm::reap() {
  if (qemu_.pid <= 0) return;
  pollfd polled{qemu_.pidfd.get(), POLLIN, 0};
  if (::poll(&polled, 1, 0) <= 0) return;
  // What it had sent before its end is still there to be read, in portions.
  constexpr int kMostPortions = 64;
  for (int i = 0; i < kMostPortions && !failed_ && link_ && link_->open(); ++i) run_link();
  ::waitpid(qemu_.pid, nullptr, 0);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, qemu_.pidfd.get(), nullptr);
  qemu_ = {};
  failed_ = failed_ || !(box_gone_ || asleep_);
  for (const auto& [id, process] : processes_)
    if (asleep_ && process.phase == Phase::kStarted)
      events_.push_back({{ProcessEvent::Kind::kEnded, id, {}, SIGKILL, {}, {}}, boot_ns()});
  ended_ns_ = boot_ns();
  if (console_) {
    console_->read();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, console_->fd(), nullptr);
  }
  ended_ = true;
  if (files_) files_->kill();
}

Result<backend::Terminal> MicroVm::open_terminal(const std::string&) {
  backend::Terminal terminal = TRY(make_raw_terminal());
  next_terminal_ = TRY(TerminalWatch::start(terminal.slave.get()));
  return terminal;
}

Result<> MicroVm::spawn(ProcessId id, const backend::ProcessSpec& spec, backend::Stdio stdio) {
  if (failed_ || ended_) return silent();
  if (resumes_ && id == backend::kMainProcess) return take_main(std::move(stdio));
  if (spec.attacks) TRY(attack_from_machine(stdio.out.get()));
  guest::Spawn message{id, spec, {}};
  Process process;
  if (spec.terminal) {
    message.window = size_of_terminal(stdio.in.get());
    process.terminal = std::move(next_terminal_);
    next_terminal_.reset();
    if (process.terminal) TRY(watch(process.terminal->fd()));
  }
  TRY(link_->write_to(stream_of(id, Part::kOut), std::move(stdio.out)));
  if (!spec.terminal) TRY(link_->write_to(stream_of(id, Part::kErr), std::move(stdio.err)));
  TRY(link_->read_from(stream_of(id, Part::kIn), std::move(stdio.in)));
  processes_[id] = std::move(process);
  tell(message);
  return {};
}

Result<> MicroVm::serve_files(ProcessId id, Fd socket) {
  if (failed_ || ended_) return silent();
  TRY(link_->write_to(stream_of(id, Part::kOut), TRY(duplicate(socket.get()))));
  TRY(link_->read_from(stream_of(id, Part::kIn), std::move(socket)));
  processes_[id] = {};
  tell(guest::ServeFiles{id});
  return {};
}

Result<> MicroVm::signal(ProcessId id, int number, bool group) {
  tell(guest::Signal{id, number, group});
  return {};
}

/// Opened when it is needed.
Result<Qmp*> MicroVm::control() {
  if (!qmp_ && !qmp_socket_) return silent();
  if (!qmp_) qmp_.emplace(TRY(Qmp::open(std::move(qmp_socket_))));
  return &*qmp_;
}

Result<> MicroVm::pause() {
  ask_figures();  // what stands still cannot be asked
  return stop_machine();
}

Result<> MicroVm::stop_machine() {
  Result<> stopped = TRY(control())->call("stop");
  paused_ = stopped.has_value();
  // Whether it stands still nobody knows.
  if (!stopped && stopped.error().reason == "qemu_silent") fail(stopped.error());
  return stopped;
}

Result<> MicroVm::resume() {
  if (!paused_) return {};
  TRY(qmp_->call("cont"));
  paused_ = false;
  if (std::exchange(asleep_, false)) thaw();
  return {};
}

/// What the main process left runs on until the machine writes its disk and is gone: to take it
/// apart before that is time for nothing.
void MicroVm::end() {
  told_to_end_ = true;
  if (asleep_) return kill_machine();
  if (!processes_.empty()) return tell(guest::End{});
  ask_figures();
  if (silent_) return tell(guest::End{});
  let_go();
}

void MicroVm::let_go() {
  box_gone_ = true;
  gone_ns_ = boot_ns();
  tell(guest::PowerOff{});
}

/// By force, in the guest; a machine whose box is gone has its disk to write. One that does neither
/// is ended by the next call.
void MicroVm::kill_all() {
  const bool answers = link_ && !failed_ && !paused_ && qemu_.pid > 0;
  if (answers && !box_gone_ && !std::exchange(forced_, true)) return tell(guest::End{true});
  if (answers && box_gone_ && boot_ns() - gone_ns_ < kSyncTime) return;
  kill_machine();
}

void MicroVm::kill_machine() {
  if (qemu_.pid > 0) ::syscall(SYS_pidfd_send_signal, qemu_.pidfd.get(), SIGKILL, nullptr, 0);
}

/// What stands still says nothing, and uses no more than before.
void MicroVm::ask_figures() {
  if (paused_ || failed_ || ended_ || box_gone_ || qemu_.pid <= 0) return;
  // One that was silent is not waited for again before it has answered.
  const std::int64_t patience = silent_ ? 0 : 2'000'000'000;
  const std::uint64_t before = answers_;
  if (!silent_) tell(guest::AskFigures{});
  silent_ = !await([&] { return answers_ > before || box_gone_; }, boot_ns() + patience, "ask");
  // What else has come meanwhile is to be looked at.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(kick_.get(), &one, sizeof one);
}

Usage MicroVm::usage() {
  ask_figures();
  Usage usage = figures_.usage;
  if (!ended_ && qemu_.pid > 0) add_overhead(qemu_.pid, usage);
  return usage;
}

std::chrono::nanoseconds MicroVm::cpu_time() {
  constexpr std::chrono::nanoseconds kNone{0};
  ask_figures();
  const Usage& now = figures_.usage;
  return now.cpu_user.value_or(kNone) + now.cpu_system.value_or(kNone);
}

/// The limit is the size of the disk, which the guest's file system reports by itself.
std::optional<std::uint64_t> MicroVm::disk_bytes() { return std::nullopt; }

Result<> MicroVm::cleanup() {
  Result<> files = files_ ? files_->cleanup() : Result<>();
  if (!cgroup_) return files;
  Result<> removed = cgroup_->remove();
  cgroup_.reset();
  return removed ? files : removed;
}

std::unique_ptr<backend::Sandbox> make_microvm(MicroVmOptions options) {
  return std::make_unique<MicroVm>(std::move(options));
}

}  // namespace caisson::vm
