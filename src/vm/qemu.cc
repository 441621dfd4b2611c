#include "vm/qemu.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope_exit.h"
#include "sys/capabilities.h"
#include "sys/cgroup.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"
#include "sys/socket.h"
#include "vm/opens.h"

namespace caisson::vm {
namespace {

namespace access = sys::fs_access;

Result<> leave_namespaces(const QemuOptions& options) {
  const int network = options.without == "vmm_network" ? 0 : CLONE_NEWNET;
  if (::unshare(network | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) < 0)
    return sys_error("leave namespaces", "");
  return {};
}

/// The group of /dev/kvm stays, where it has one.
Result<> become(const QemuOptions& options) {
  if (const int err = sys::drop_bounding(0); err != 0)
    return errno_error(err, "drop the bounding set", "");
  struct stat device{};
  std::vector<gid_t> groups;
  if (options.kvm && ::stat("/dev/kvm", &device) == 0) groups.push_back(device.st_gid);
  // An ordinary user without subordinate ids has no choice of groups, user_namespaces(7).
  if (::setgroups(groups.size(), groups.data()) < 0 && errno != EPERM)
    return sys_error("set groups", "");
  if (::setresgid(options.uid, options.uid, options.uid) < 0 ||
      ::setresuid(options.uid, options.uid, options.uid) < 0)
    return sys_error("set user id", "");
  return {};
}

Result<> give_up_privileges(const QemuOptions& options, pid_t parent) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return sys_error("set no_new_privs", "");
  const bool all = options.without != "vmm_privileges";
  if (const int err = all ? sys::set_capabilities(0, 0, 0) : 0; err != 0)
    return errno_error(err, "drop capabilities", "");
  // A change of credentials clears it, prctl(2).
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return sys_error("harden qemu", "");
  if (::getppid() != parent)
    return make_error(Code::kUnavailable, "qemu_failed", "start qemu: the shim is gone");
  return {};
}

/// Where the kernel has no Landlock a user id of its own is in QEMU's way.
Result<> confine(const QemuOptions& options) {
  const Result<int> abi = sys::landlock_abi();
  if (!abi && options.uid == 0)
    return abi.error();  // of an ordinary user nothing else is in its way
  if (!abi) return {};
  constexpr int kTcpAbi = 4, kScopeAbi = 6;
  sys::LandlockOptions walls;
  const bool network = options.without == "vmm_network";
  walls.forbid_tcp = *abi >= kTcpAbi && !network;
  walls.forbid_scope = *abi >= kScopeAbi && !network;
  sys::Landlock rules = TRY(sys::Landlock::create(walls));
  const auto allow = [&](const char* path, sys::FsAccess what) -> Result<> {
    const Result<Fd> place = open_fd(path, O_PATH);
    if (!place) return {};  // not everything is everywhere
    return rules.allow(place->get(), what, path);
  };
  for (const char* path : {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"})
    TRY(allow(path, access::kRead | access::kExecute));
  TRY(allow("/dev/urandom", access::kReadFile));
  TRY(allow("/dev/null", access::kReadFile | access::kWriteFile));
  if (options.kvm)
    TRY(allow("/dev/kvm", access::kReadFile | access::kWriteFile | access::kIoctlDev));
  for (int fd : options.readable) TRY(rules.allow(fd, access::kReadFile, "guest"));
  return rules.restrict_self();
}

/// The listener goes to the shim, which closes it when QEMU has opened what it needs; what it opens
/// for writing after that fails.
Result<> ask_for_opens(const QemuOptions& options, int shim) {
  const std::string program =
      TRY(opens_filter(options.keeps_file, options.without == "vmm_network"));
  const Fd listener(
      sys::install_seccomp_listener(program.data(), program.size() / sizeof(sock_filter)));
  if (!listener) return errno_error(-listener.get(), "install filter", "");
  const ssize_t sent = sys::send_with_fds(shim, "\n", {listener.get()});
  return sent < 0 ? Result<>(errno_error(static_cast<int>(-sent), "pass listener", ""))
                  : Result<>();
}

Result<> prepare(const QemuOptions& options, int shim, pid_t parent) {
  if (const int err = sys::join_cgroups(options.cgroups.data(), options.cgroups.size()); err != 0)
    return errno_error(err, "join cgroups", "");
  for (int fd : options.fds)
    if (::fcntl(fd, F_SETFD, 0) < 0) return sys_error("pass descriptor", "");
  for (int fd : {1, 2})
    if (::dup2(options.output, fd) < 0) return sys_error("redirect output", "");
  if (options.without != "vmm_namespaces") TRY(leave_namespaces(options));
  if (options.without != "vmm_privileges") TRY(become(options));
  TRY(give_up_privileges(options, parent));
  if (options.without != "vmm_files") TRY(confine(options));
  return options.asks ? ask_for_opens(options, shim) : Result<>();
}

/// This process is QEMU, or tells `shim` why not.
[[noreturn]] void run(const QemuOptions& options, int shim, pid_t parent) {
  std::vector<char*> argv;
  for (const std::string& word : options.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  char path[] = "PATH=/usr/bin:/bin";
  // What TCG frees after each block it takes again for the next: the heap is not to shrink and grow
  // each time, mallopt(3).
  char pad[] = "MALLOC_TOP_PAD_=16777216", trim[] = "MALLOC_TRIM_THRESHOLD_=67108864";
  char* env[] = {path, pad, trim, nullptr};
  Result<> ready = prepare(options, shim, parent);
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (ready) ::execve(argv[0], argv.data(), env);
  const Error error = ready ? sys_error("start program", options.words[0]) : ready.error();
  [[maybe_unused]] const Result<> told = write_all(shim, error.message, "");
  ::_exit(127);
}

}  // namespace

Result<Qemu> start_qemu(const QemuOptions& options) {
  sys::SocketPair start = TRY(sys::make_socket_pair(SOCK_STREAM));
  const pid_t parent = ::getpid();
  Qemu qemu;
  qemu.pid = ::fork();
  if (qemu.pid < 0) return sys_error("start process", "");
  if (qemu.pid == 0) run(options, start.theirs.get(), parent);
  ScopeExit end([&] {
    ::kill(qemu.pid, SIGKILL);
    ::waitpid(qemu.pid, nullptr, 0);
  });
  start.theirs.reset();
  std::string error;
  char buffer[4096];
  for (;;) {  // until it is another program
    sys::Received got = sys::receive_with_fds(start.ours.get(), buffer, sizeof buffer);
    if (got.bytes == -EINTR) continue;
    if (got.bytes <= 0) break;
    if (got.fds.empty())
      error.append(buffer, static_cast<std::size_t>(got.bytes));
    else
      qemu.opens = std::move(got.fds[0]);
  }
  if (!error.empty())
    return make_error(Code::kInternal, "qemu_failed", format("start qemu: {}", error));
  qemu.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, qemu.pid, 0)));
  if (!qemu.pidfd) return sys_error("watch qemu", "");
  end.release();
  return qemu;
}

}  // namespace caisson::vm
