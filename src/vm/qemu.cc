#include "vm/qemu.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
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
#include "sys/mount.h"
#include "sys/seccomp.h"
#include "sys/socket.h"
#include "vm/opens.h"

namespace caisson::vm {
namespace {

namespace access = sys::fs_access;

/// What QEMU finds; the rest it has as descriptors.
constexpr const char* kFiles[] = {"/usr",  "/lib",      "/lib64",      "/etc/ld.so.cache",
                                  "/proc", "/dev/null", "/dev/urandom"};

Result<> leave_namespaces(const QemuOptions& options) {
  const int network = options.without == "vmm_network" ? 0 : CLONE_NEWNET;
  if (::unshare(network | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) < 0)
    return sys_error("leave namespaces", "");
  return {};
}

/// A file, directory or link of ours at the same place below `root`, if we have one.
Result<> show(int root, const std::string& path) {
  const std::string place = path.substr(1);
  for (auto at = place.find('/'); at != std::string::npos; at = place.find('/', at + 1))
    if (::mkdirat(root, place.substr(0, at).c_str(), 0755) < 0 && errno != EEXIST)
      return sys_error("create directory", path);
  const Fd source(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info{};
  if (!source || ::fstat(source.get(), &info) < 0) return {};  // not everything is everywhere
  if (S_ISLNK(info.st_mode)) {                                 // /lib is a part of /usr
    std::string target(PATH_MAX, '\0');
    const ssize_t size = ::readlinkat(source.get(), "", target.data(), target.size());
    target.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    if (::symlinkat(target.c_str(), root, place.c_str()) < 0) return sys_error("link", path);
    return {};
  }
  if (S_ISDIR(info.st_mode) ? ::mkdirat(root, place.c_str(), 0755) < 0
                            : ::mknodat(root, place.c_str(), S_IFREG | 0644, 0) < 0)
    return sys_error("create", path);
  const Fd target = TRY(open_at(root, place, O_PATH | O_NOFOLLOW));
  const Fd tree = TRY(sys::clone_mount(source.get(), path));
  TRY(sys::set_flags(tree.get(), {.read_only = true, .nosuid = true, .nodev = false}, path));
  return sys::attach(tree.get(), target.get(), path);
}

/// A root of programs and libraries. What else is mounted on the host nobody could unmount while
/// the machine runs.
Result<> make_root(const QemuOptions& options) {
  TRY(sys::make_private());
  ::umask(0022);  // for a user who is not us
  const Fd made = TRY(sys::make_mount("tmpfs", {{"mode", "755"}}, {}));
  const Fd place = TRY(open_fd("/tmp", O_PATH | O_DIRECTORY));
  TRY(sys::attach(made.get(), place.get(), "/tmp"));
  for (const char* path : kFiles) TRY(show(made.get(), path));
  if (options.kvm) TRY(show(made.get(), "/dev/kvm"));
  TRY(sys::change_root(made.get()));
  return sys::drop_old_root();
}

/// The group of /dev/kvm stays, where it has one.
Result<> become(const QemuOptions& options) {
  if (const int err = sys::drop_bounding(0); err != 0)
    return errno_error(err, "drop the bounding set", "");
  struct stat device{};
  std::vector<gid_t> groups;
  if (options.kvm && ::stat("/dev/kvm", &device) == 0) groups.push_back(device.st_gid);
  // An ordinary user's namespace does not know the device's group; QEMU keeps the groups then.
  const bool keeps = options.kvm && options.uid == 0;
  // An ordinary user without subordinate ids has no choice of groups, user_namespaces(7).
  if (!keeps && ::setgroups(groups.size(), groups.data()) < 0 && errno != EPERM)
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
  if (options.without != "vmm_namespaces" && options.without != "vmm_files")
    TRY(make_root(options));
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
