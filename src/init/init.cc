#include "init/init.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
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
#include "init/init_protocol.h"
#include "sys/socket.h"

namespace caisson::init {
namespace {

void send(int control, const InitMessage& message, std::string_view text = {},
          const std::vector<int>& fds = {}) {
  std::string bytes(reinterpret_cast<const char*>(&message), sizeof message);
  bytes += text;
  [[maybe_unused]] const ssize_t n = sys::send_with_fds(control, bytes, fds);
}

class Init final {
 public:
  Init(int control, World& world) : control_(control), world_(world) {}

  [[noreturn]] void run() {
    ::prctl(PR_SET_NAME, "caisson-init");
    if (Result<> done = set_up(); !done) {
      const Error& error = done.error();
      // One line per part; the shim puts them together again.
      send(control_, {.op = InitOp::kFailed, .value = error.sys_errno},
           format("{}\n{}\n{}\n{}", static_cast<int>(error.code), error.reason, error.message,
                  error.hint));
      ::_exit(1);
    }
    if (!world_.seal()) ::_exit(1);
    context_ = world_.context();
    loop();
  }

 private:
  Result<> set_up() {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    World::Built built = TRY(world_.build());
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signals_ = Fd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return sys_error("create signal descriptor", "");
    std::string warnings;
    for (const std::string& warning : built.warnings) warnings += warning + "\n";
    send(control_, {.op = InitOp::kReady}, warnings, {built.root.get(), built.terminals.get()});
    return {};
  }

  [[noreturn]] void loop() {
    keep_only_needed();
    pollfd polled[3] = {
        {control_, POLLIN, 0}, {signals_.get(), POLLIN, 0}, {world_.event_fd(), POLLIN, 0}};
    for (;;) {
      // A box that takes the descriptors away from us (prlimit(2)) ends itself.
      if (::poll(polled, 3, -1) < 0 && errno != EINTR) ::_exit(1);
      if (polled[2].revents != 0) world_.on_event();
      if (polled[1].revents != 0) reap();
      // The shim's end is closed only when the shim is gone: the box goes with it.
      if ((polled[0].revents & (POLLIN | POLLHUP)) != 0 && !receive()) end();
    }
  }

  /// Closes every descriptor but the standard three, the control socket, the signals and what
  /// every process needs; what the set-up opened is of no use to the box.
  void keep_only_needed() const {
    std::vector<unsigned> keep = {0, 1, 2};
    std::vector<int> wanted = world_.held();
    wanted.insert(wanted.end(), {control_, context_.userns, context_.landlock, context_.launcher,
                                 context_.listener, world_.event_fd(), signals_.get()});
    for (int fd : wanted)
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
        sys::receive_with_fds(control_, reinterpret_cast<char*>(&message), sizeof message);
    if (got.bytes != static_cast<ssize_t>(sizeof message)) return got.bytes == -EAGAIN;
    if (message.op == InitOp::kExec) {
      if (got.fds.size() == 5)
        exec(message.id, got.fds);
      else
        send(control_, {.op = InitOp::kStarted, .id = message.id, .value = -EMFILE});
    } else if (message.op == InitOp::kSignal) {
      signal(message);
    } else if (message.op == InitOp::kPause) {
      world_.signal_all(message.value != 0 ? SIGSTOP : SIGCONT);
    } else if (message.op == InitOp::kEnd) {
      end();
    }
    return true;
  }

  void exec(std::uint32_t id, const std::vector<Fd>& fds) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      signals_.reset();
      ::close(control_);
      become(context_, fds[0].get(), fds[1].get(), fds[2].get(), fds[3].get(), fds[4].get());
    }
    if (pid > 0) ids_[pid] = id;
    send(control_, {.op = InitOp::kStarted, .id = id, .value = pid > 0 ? pid : -errno});
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

  /// The kernel ends whatever is left when PID 1 goes, but without accounting for it (what it
  /// leaves behind is reaped unseen), and the shim tells what the box has used by our accounts.
  [[noreturn]] void end() {
    do {
      world_.signal_all(SIGKILL);
      while (reap_one(WNOHANG)) {
      }
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
    send(control_, {.op = InitOp::kEnded,
                    .id = id,
                    .value = status,
                    .cpu_user_ns = ns(usage.ru_utime),
                    .cpu_system_ns = ns(usage.ru_stime)});
    ids_.erase(found);
    return id;
  }

  int control_;
  World& world_;
  ExecContext context_;
  Fd signals_;
  std::map<pid_t, std::uint32_t> ids_;
};

}  // namespace

void run_init(int control, World& world) { Init(control, world).run(); }

}  // namespace caisson::init
