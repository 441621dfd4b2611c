#include "container/init.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "backend/sandbox.h"
#include "container/apply.h"
#include "container/exec_block.h"
#include "container/init_protocol.h"
#include "sys/socket.h"

namespace caisson::container {
namespace {

void send(int control, const InitMessage& message, std::string_view text = {},
          const std::vector<int>& fds = {}) {
  std::string bytes(reinterpret_cast<const char*>(&message), sizeof message);
  bytes += text;
  [[maybe_unused]] const ssize_t n = sys::send_with_fds(control, bytes, fds);
}

/// From here on this process has no more rights than the box's root, and cannot be inspected by it.
Result<> give_up_privileges(const Ids& ids) {
  ::prctl(PR_SET_KEEPCAPS, 0);
  if (ids.first != 0) {
    const gid_t gid = ids.first;
    if (::syscall(SYS_setgroups, 0, nullptr) < 0) return sys_error("clear groups", "");
    if (::syscall(SYS_setresgid, gid, gid, gid) < 0) return sys_error("set group id", "");
    if (::syscall(SYS_setresuid, gid, gid, gid) < 0) return sys_error("set user id", "");
  }
  // Its own session keyring, so that nothing in the box can possess the caller's keys.
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS &&
      errno != EDQUOT && errno != EPERM)
    return sys_error("create session keyring", "");
  if (const int err = sys::set_capabilities(0, 0, 0); err != 0)
    return errno_error(err, "drop capabilities", "");
  // A change of credentials clears the parent-death signal, prctl(2): it is set last.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::prctl(PR_SET_DUMPABLE, 0) < 0)
    return sys_error("harden init", "");
  return {};
}

class Init final {
 public:
  explicit Init(const InitOptions& options)
      : options_(options),
        context_{options.userns, options.launcher, options.seccomp, &options.service} {}

  [[noreturn]] void run() {
    ::prctl(PR_SET_NAME, "caisson-init");
    Apply apply(*options_.plan, options_.cgroups, options_.userns);
    Result<> done = set_up(apply);
    if (!done) {
      const Error& error = done.error();
      // One line per part; the shim puts them together again.
      send(options_.control, {.op = InitOp::kFailed, .value = error.sys_errno},
           format("{}\n{}\n{}\n{}", static_cast<int>(error.code), error.reason, error.message,
                  error.hint));
      ::_exit(1);
    }
    if (!seal()) ::_exit(1);
    loop();
  }

 private:
  Result<> set_up(Apply& apply) {
    // Until the box is sealed a parent's death may go unnoticed where the set-up changes ids, which
    // clears this (prctl(2)); then the loop sees the end of the control socket.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    if (options_.network >= 0 && ::setns(options_.network, CLONE_NEWNET) < 0)
      return sys_error("join network namespace", "");
    TRY(apply.run(options_.fail_at));
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signals_ = Fd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return sys_error("create signal descriptor", "");
    Fd pts = TRY(apply.root().open_at("/dev/pts", O_PATH | O_DIRECTORY));
    std::string warnings;
    for (const std::string& warning : apply.warnings()) warnings += warning + "\n";
    send(options_.control, {.op = InitOp::kReady}, warnings, {apply.root().fd(), pts.get()});
    return {};
  }

  /// Letting go of the host's tree makes the kernel wait, so the shim prepares the first process
  /// meanwhile; no process is started before this is done.
  Result<> seal() const {
    TRY(sys::drop_old_root());
    return give_up_privileges(options_.plan->ids);
  }

  [[noreturn]] void loop() {
    keep_only_needed();
    pollfd polled[2] = {{options_.control, POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    for (;;) {
      // A box that takes the descriptors away from us (prlimit(2)) ends itself.
      if (::poll(polled, 2, -1) < 0 && errno != EINTR) ::_exit(1);
      if (polled[1].revents != 0) reap();
      // The shim's end is closed only when the shim is gone: the box goes with it.
      if ((polled[0].revents & (POLLIN | POLLHUP)) != 0 && !receive()) ::_exit(0);
    }
  }

  /// Closes every descriptor but the standard three, the control socket, the namespace, the
  /// launcher and the signals; what the set-up opened is of no use to the box.
  void keep_only_needed() const {
    std::vector<unsigned> keep = {0, 1, 2};
    for (int fd : {options_.control, options_.userns, options_.launcher, signals_.get()})
      if (fd >= 0) keep.push_back(static_cast<unsigned>(fd));
    std::ranges::sort(keep);
    unsigned next = 0;
    for (unsigned fd : keep) {
      if (fd > next) ::syscall(SYS_close_range, next, fd - 1, 0);
      next = fd + 1;
    }
    ::syscall(SYS_close_range, next, ~0u, 0);
  }

  bool receive() {
    InitMessage message{};
    sys::Received got =
        sys::receive_with_fds(options_.control, reinterpret_cast<char*>(&message), sizeof message);
    if (got.bytes != static_cast<ssize_t>(sizeof message)) return got.bytes == -EAGAIN;
    if (message.op == InitOp::kExec) {
      if (got.fds.size() == 5)
        exec(message.id, got.fds);
      else
        send(options_.control, {.op = InitOp::kStarted, .id = message.id, .value = -EMFILE});
    } else if (message.op == InitOp::kSignal) {
      signal(message);
    } else if (message.op == InitOp::kPause) {
      ::kill(-1, message.value != 0 ? SIGSTOP : SIGCONT);
    } else if (message.op == InitOp::kEnd) {
      end();
    }
    return true;
  }

  void exec(std::uint32_t id, const std::vector<Fd>& fds) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      signals_.reset();
      ::close(options_.control);
      become(context_, fds[0].get(), fds[1].get(), fds[2].get(), fds[3].get(), fds[4].get());
    }
    if (pid > 0) ids_[pid] = id;
    send(options_.control, {.op = InitOp::kStarted, .id = id, .value = pid > 0 ? pid : -errno});
  }

  void signal(const InitMessage& message) const {
    for (const auto& [pid, id] : ids_) {
      if (id != message.id) continue;
      ::kill(message.group != 0 ? -pid : pid, message.value);
      if (message.group != 0) ::kill(pid, message.value);  // before its setsid it leads no group
    }
  }

  void reap() {
    signalfd_siginfo ignored[8];
    while (::read(signals_.get(), ignored, sizeof ignored) > 0) {
    }
    bool main_ended = false;
    while (const std::optional<std::uint32_t> id = reap_one(WNOHANG))
      main_ended = main_ended || *id == backend::kMainProcess;
    if (main_ended) end();
  }

  /// The kernel ends whatever is left when we go, but without accounting for it (what PID 1 leaves
  /// behind is reaped unseen), and the shim tells what the box has used by our accounts.
  [[noreturn]] void end() {
    do {
      ::kill(-1, SIGKILL);
    } while (reap_one(0));
    ::_exit(0);
  }

  /// Reaps one child and tells its end. Returns its id, 0 for one that nobody asked for; absent
  /// when there is none.
  std::optional<std::uint32_t> reap_one(int flags) {
    int status = 0;
    rusage usage{};
    const pid_t pid = ::wait4(-1, &status, flags | __WALL, &usage);
    if (pid <= 0) return std::nullopt;
    const auto found = ids_.find(pid);
    if (found == ids_.end()) return 0;
    const auto ns = [](const timeval& t) {
      return t.tv_sec * 1'000'000'000LL + t.tv_usec * 1000LL;
    };
    const std::uint32_t id = found->second;
    send(options_.control, {.op = InitOp::kEnded,
                            .id = id,
                            .value = status,
                            .cpu_user_ns = ns(usage.ru_utime),
                            .cpu_system_ns = ns(usage.ru_stime)});
    ids_.erase(found);
    return id;
  }

  const InitOptions& options_;
  ExecContext context_;
  Fd signals_;
  std::map<pid_t, std::uint32_t> ids_;
};

}  // namespace

void run_init(const InitOptions& options) { Init(options).run(); }

}  // namespace caisson::container
