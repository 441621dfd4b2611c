#include "init/sandbox.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "init/failures.h"
#include "init/limits.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace caisson::init {

using backend::ProcessEvent;
using backend::ProcessId;

void InitSandbox::destroy() {
  kill_all();
  if (init_ > 0) reap_init(0);
  [[maybe_unused]] Result<> cleaned = cleanup();
}

Result<> InitSandbox::make_cgroup(const sys::CgroupLayout& layout) {
  counts_processes_ = layout.usable(sys::Controller::kPids);
  if (!any_cgroup(layout)) return {};
  cgroup_.emplace(TRY(sys::Cgroup::create(layout, id_, cgroup_limits(spec_, layout))));
  return {};
}

std::vector<ResourceLimit> InitSandbox::process_limits() const {
  std::vector<ResourceLimit> limits = resource_limits(spec_);
  if (!counts_processes_) limits.push_back(process_limit(spec_));
  return limits;
}

/// Moving into a v2 group by write can wait for a grace period of the kernel; being born into it
/// does not (clone(2), CLONE_INTO_CGROUP, since 5.7).
Result<std::vector<int>> InitSandbox::cgroup_fds() {
  if (!cgroup_) return std::vector<int>();
  return cgroup_->join_fds(sys::Cgroup::Join::kByClone);
}

Result<> InitSandbox::clone_init(std::uint64_t namespaces,
                                 const std::function<void(int control)>& run) {
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
  int pidfd = -1;
  clone_args args{};
  args.flags = namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (const int group = cgroup_ ? cgroup_->clone_fd() : -1; group >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(group);
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return sys_error("start first process", "");
  if (pid == 0) {
    pair.ours.reset();  // init sees the socket's end when the shim is gone
    run(pair.theirs.get());
    ::_exit(1);
  }
  init_ = static_cast<pid_t>(pid);
  pidfd_ = Fd(pidfd);
  control_ = std::move(pair.ours);
  // Init that does not read would otherwise stop us too.
  TRY(set_nonblocking(control_.get()));
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return sys_error("create epoll", "");
  TRY(watch(pidfd_.get()));
  return watch(control_.get());
}

Result<> InitSandbox::watch(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return sys_error("watch box", "");
  return {};
}

Result<> InitSandbox::await_ready(std::vector<std::string>& warnings) {
  constexpr int kReadyMs = 60'000;
  pollfd polled{control_.get(), POLLIN, 0};
  if (::poll(&polled, 1, kReadyMs) == 0)
    return make_error(Code::kDeadlineExceeded, "start_timeout",
                      "set up box: its first process did not answer within 60 s");
  char buffer[8192];
  sys::Received got = sys::receive_with_fds(control_.get(), buffer, sizeof buffer);
  if (got.bytes < static_cast<ssize_t>(sizeof(InitMessage)))
    return make_error(Code::kInternal, "start_failed",
                      oom_kills() > 0 ? "set up box: its first process ran out of memory"
                                      : "set up box: its first process died",
                      oom_kills() > 0 ? "raise the memory limit" : "");
  const auto* message = reinterpret_cast<const InitMessage*>(buffer);
  const std::string_view text(buffer + sizeof(InitMessage),
                              static_cast<std::size_t>(got.bytes) - sizeof(InitMessage));
  if (message->op == InitOp::kFailed) return received_error(text, message->value);
  // Held to the shim's end: taking a mount namespace apart waits for the kernel, and nobody who
  // waits for the box should.
  mounts_ = open_fd(format("/proc/{}/ns/mnt", init_), O_RDONLY).value_or(Fd());
  if (got.fds.size() != 2)
    return make_error(Code::kInternal, "start_failed", "set up box: unexpected answer of init");
  root_ = std::move(got.fds[0]);
  terminals_ = std::move(got.fds[1]);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    warnings.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return {};
}

Result<> InitSandbox::signal(ProcessId id, int number, bool group) {
  const InitMessage message{
      .op = InitOp::kSignal, .id = id, .value = number, .group = group ? 1u : 0u};
  return tell_init(message, "signal process");
}

Result<> InitSandbox::tell_init(const InitMessage& message, std::string_view action) {
  const ssize_t sent = sys::send_with_fds(
      control_.get(), {reinterpret_cast<const char*>(&message), sizeof message}, {});
  if (sent < 0) return errno_error(static_cast<int>(-sent), action, "");
  return {};
}

/// Without a freezer by a signal that no process can refuse. Those that had stopped of their own
/// accord go on too when the box is resumed.
Result<> InitSandbox::pause() {
  if (freezes()) return cgroup_->freeze();
  TRY(tell_init({.op = InitOp::kPause, .value = 1}, "pause box"));
  const std::int64_t begun = boot_ns();
  // Who has called vfork(2) sleeps until its stopped child goes on; a sleep for the disk is short.
  while (!all_stopped(boot_ns() - begun > 100'000'000)) {
    if (boot_ns() - begun > 2'000'000'000) {
      TRY(resume());
      return make_error(Code::kDeadlineExceeded, "freeze_timeout",
                        "pause box: a process did not stop within 2 s");
    }
    ::usleep(500);
  }
  return {};
}

Result<> InitSandbox::resume() {
  if (freezes()) return cgroup_->thaw();
  return tell_init({.op = InitOp::kPause, .value = 0}, "resume box");
}

std::vector<ProcessEvent> InitSandbox::events() {
  std::vector<ProcessEvent> out;
  // Init first: once it is gone, what it and its forks had to say is all there to be read.
  pollfd polled{pidfd_.get(), POLLIN, 0};  // poll(2) passes over -1
  if (::poll(&polled, 1, 0) > 0) reap_init(WNOHANG);
  collect_status(out);
  // An end may arrive in the same round as its start; look again before passing it on.
  collect_init();
  collect_status(out);
  for (ProcessEvent& event : std::exchange(held_, {}))
    (spawning_.contains(event.id) ? held_ : out).push_back(std::move(event));
  return out;
}

void InitSandbox::collect_init() {
  while (control_) {
    pollfd polled{control_.get(), POLLIN, 0};
    if (::poll(&polled, 1, 0) <= 0) return;
    InitMessage message{};
    const sys::Received got =
        sys::receive_with_fds(control_.get(), reinterpret_cast<char*>(&message), sizeof message);
    if (got.bytes != static_cast<ssize_t>(sizeof message)) {
      control_.reset();
      return;
    }
    if (message.op == InitOp::kStarted && message.value < 0) {
      const ExecFailure failure{ExecStep::kFork, -message.value};
      ProcessEvent event = started_or_failed(&failure, message.id);
      spawning_.erase(message.id);
      held_.push_back(std::move(event));
    } else if (message.op == InitOp::kEnded) {
      held_.push_back({ProcessEvent::Kind::kEnded,
                       message.id,
                       {},
                       message.value,
                       std::chrono::nanoseconds(message.cpu_user_ns),
                       std::chrono::nanoseconds(message.cpu_system_ns)});
    }
  }
}

/// The status pipes: a failure to report, or end of file when exec has closed the pipe.
void InitSandbox::collect_status(std::vector<ProcessEvent>& out) {
  for (auto it = spawning_.begin(); it != spawning_.end();) {
    ExecFailure failure{};
    const ssize_t n = ::read(it->second.status.get(), &failure, sizeof failure);
    if (n < 0) {
      ++it;
      continue;
    }
    out.push_back(started_or_failed(n == sizeof failure ? &failure : nullptr, it->first));
    it = spawning_.erase(it);
  }
}

ProcessEvent InitSandbox::started_or_failed(const ExecFailure* failure, ProcessId id) const {
  if (failure == nullptr) return {ProcessEvent::Kind::kStarted, id};
  const auto found = spawning_.find(id);
  const bool known = found != spawning_.end();
  return {
      ProcessEvent::Kind::kFailed, id,
      exec_error(*failure, known ? found->second.argv[0] : "", known ? found->second.workdir : "")};
}

void InitSandbox::end() {
  const InitMessage message{.op = InitOp::kEnd};
  if (init_ > 0 &&
      sys::send_with_fds(control_.get(), {reinterpret_cast<const char*>(&message), sizeof message},
                         {}) < 0)
    kill_all();
}

void InitSandbox::kill_all() {
  // The end of a pid namespace's init ends all of it, pid_namespaces(7); without one on_init_gone
  // ends what is left.
  if (init_ > 0) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void InitSandbox::reap_init(int flags) {
  // Init's own accounts hold those of everything it reaped, so they are read before it is.
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(init_), &info, WEXITED | WNOWAIT | flags) < 0 ||
      info.si_pid == 0)
    return;
  const std::optional<sys::ProcessIo> io = sys::process_io(init_);
  rusage used{};
  int status = 0;
  ::wait4(init_, &status, 0, &used);
  init_ = -1;
  pidfd_.reset();
  if (cgroup_) final_usage_ = cgroup_->usage();
  final_usage_.memory_bytes.reset();
  final_usage_.pids.reset();
  fill_from_accounts(final_usage_, used, io);
  ended_ = true;
  on_init_gone();
}

Usage InitSandbox::usage() {
  if (ended_) return final_usage_;
  Usage usage = cgroup_ ? cgroup_->usage() : Usage{};
  if (init_ > 0 && !usage.read_bytes)
    if (const std::optional<sys::ProcessIo> io = sys::process_io(init_)) {
      usage.read_bytes = io->read_bytes;
      usage.write_bytes = io->write_bytes;
    }
  return usage;
}

std::chrono::nanoseconds InitSandbox::cpu_time() {
  const Usage now = usage();
  if (now.cpu_user && now.cpu_system) return *now.cpu_user + *now.cpu_system;
  return root_ ? processes_cpu_time() : std::chrono::nanoseconds(0);
}

Result<> InitSandbox::spawn_image(ProcessId id, const ProcessImage& image, backend::Stdio stdio) {
  Fd block = TRY(make_exec_block(image));
  Pipe status = TRY(make_pipe(O_NONBLOCK));
  const InitMessage message{.op = InitOp::kExec, .id = id};
  const ssize_t sent = sys::send_with_fds(
      control_.get(), {reinterpret_cast<const char*>(&message), sizeof message},
      {block.get(), stdio.in.get(), stdio.out.get(), stdio.err.get(), status.write.get()});
  if (sent < 0) return errno_error(static_cast<int>(-sent), "ask init for process", image.argv[0]);
  TRY(watch(status.read.get()));
  spawning_[id] = {std::move(status.read), image.argv, image.workdir};
  return {};
}

Result<> InitSandbox::cleanup() {
  if (!cgroup_) return {};
  Result<> removed = cgroup_->remove();
  cgroup_.reset();
  return removed;
}

}  // namespace caisson::init
