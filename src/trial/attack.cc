#include "trial/attack.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "trial/attempts.h"
#include "trial/exhaust.h"
#include "trial/guest.h"

namespace caisson::trial {
namespace {

std::string files(const Target& t) {
  Attempts attempts;
  const std::string secret = t.canary + "/secret";
  for (const std::string& way :
       {std::string(), std::string("/proc/self/root"), std::string("/proc/1/root"),
        std::string("/proc/self/task/1/root"), format("/proc/{}/root", t.pid)}) {
    const std::string path = way + secret;
    attempts.opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC), format("read {}", path));
    attempts.opened(::open(path.c_str(), O_WRONLY | O_CLOEXEC),
                    format("opened {} for writing", path));
  }
  attempts.opened(::open((t.canary + "/made").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600),
                  "made a file on the host");
  attempts.broke(::mkdir((t.canary + "/directory").c_str(), 0700) == 0,
                 "made a directory on the host");
  attempts.broke(::truncate(secret.c_str(), 0) == 0, "truncated a file of the host");
  attempts.broke(::rename(secret.c_str(), (t.canary + "/moved").c_str()) == 0,
                 "moved a file of the host");
  attempts.broke(::link(secret.c_str(), "linked") == 0, "linked a file of the host");
  if (::symlink(t.canary.c_str(), "way") == 0) {
    attempts.opened(::open("way/secret", O_RDONLY | O_CLOEXEC), "read through a symbolic link");
    ::unlink("way");
  }
  attempts.broke(::unlink(secret.c_str()) == 0, "removed a file of the host");
  return attempts.broken();
}

/// Modes, times and attributes of files that cannot be opened.
std::string attributes(const Target& t) {
  Attempts attempts;
  const std::string secret = t.canary + "/secret";
  attempts.broke(::chmod(secret.c_str(), 0640) == 0, "changed a mode on the host");
  attempts.broke(::utimensat(AT_FDCWD, secret.c_str(), nullptr, 0) == 0,
                 "changed times on the host");
  attempts.broke(::setxattr(secret.c_str(), "user.trial", "1", 1, 0) == 0,
                 "set an attribute on the host");
  return attempts.broken();
}

std::string mounts() {
  Attempts attempts;
  const bool mounted = ::mount("none", ".", "tmpfs", 0, nullptr) == 0;
  attempts.broke(mounted, "mounted a tmpfs");
  if (mounted) ::umount2(".", MNT_DETACH);
  attempts.opened(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", 0)), "opened a file system");
  attempts.opened(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, ".", 1u)), "copied a mount");
  attempts.broke(::unshare(CLONE_NEWNS) == 0, "made a mount namespace");
  return attempts.broken();
}

std::string signals(const Target& t) {
  Attempts attempts;
  attempts.broke(::kill(t.pid, 0) == 0, "may signal a process of the host");
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, t.pid, 0));
  if (process >= 0) {
    attempts.broke(::syscall(SYS_pidfd_send_signal, process, 0, nullptr, 0) == 0,
                   "may signal a process of the host by descriptor");
    ::close(process);
  }
  return attempts.broken();
}

std::string tracing(const Target& t) {
  Attempts attempts;
  const bool seized = ::ptrace(PTRACE_SEIZE, t.pid, nullptr, nullptr) == 0;
  attempts.broke(seized, "traced a process of the host");
  if (seized) ::ptrace(PTRACE_DETACH, t.pid, nullptr, nullptr);
  for (const char* file : {"mem", "environ", "maps"})
    attempts.opened(::open(format("/proc/{}/{}", t.pid, file).c_str(), O_RDONLY | O_CLOEXEC),
                    format("opened {} of a process of the host", file));
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, t.pid, 0));
  if (process >= 0) {
    attempts.opened(static_cast<int>(::syscall(SYS_pidfd_getfd, process, 0, 0)),
                    "took a descriptor of a process of the host");
    ::close(process);
  }
  rlimit same{};
  attempts.broke(::syscall(SYS_prlimit64, t.pid, RLIMIT_CORE, nullptr, &same) == 0 &&
                     ::syscall(SYS_prlimit64, t.pid, RLIMIT_CORE, &same, nullptr) == 0,
                 "set a limit of a process of the host");
  return attempts.broken();
}

bool connects(const sockaddr* address, socklen_t size) {
  const Fd socket(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  if (::connect(socket.get(), address, size) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd polled{socket.get(), POLLOUT, 0};
  int error = 0;
  socklen_t length = sizeof error;
  return ::poll(&polled, 1, 500) > 0 &&
         ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

std::string network(const Target& t) {
  Attempts attempts;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(t.tcp_port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  attempts.broke(connects(reinterpret_cast<const sockaddr*>(&address), sizeof address),
                 "connected to a server of the host");
  struct Kind {
    int family, type, protocol;
    const char* name;
  };
  constexpr Kind kKinds[] = {{AF_INET, SOCK_RAW, IPPROTO_ICMP, "raw"},
                             {AF_PACKET, SOCK_RAW, 0, "packet"},
                             {AF_ALG, SOCK_SEQPACKET, 0, "crypto"},
                             {AF_VSOCK, SOCK_STREAM, 0, "vsock"},
                             {AF_NETLINK, SOCK_RAW, 9, "audit"},
                             {AF_NETLINK, SOCK_RAW, 12, "netfilter"},
                             {AF_XDP, SOCK_RAW, 0, "XDP"}};
  for (const Kind& kind : kKinds)
    attempts.opened(::socket(kind.family, kind.type | SOCK_CLOEXEC, kind.protocol),
                    format("opened a {} socket", kind.name));
  return attempts.broken();
}

std::string sockets(const Target& t) {
  Attempts attempts;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, t.abstract_name.data(), t.abstract_name.size());
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + t.abstract_name.size());
  attempts.broke(connects(reinterpret_cast<const sockaddr*>(&address), size),
                 "connected to an abstract socket of the host");
  // By descriptor, because the whole path may be too long for an address.
  const Fd directory(::open(t.canary.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string path = format("/proc/self/fd/{}/socket", directory.get());
  std::memset(address.sun_path, 0, sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  attempts.broke(connects(reinterpret_cast<const sockaddr*>(&address), sizeof address),
                 "connected to a socket file of the host");
  return attempts.broken();
}

/// Calls that any process may make on a host without a filter: whatever else than "forbidden" or
/// "unknown" they say, they have reached the kernel.
std::string system_calls() {
  Attempts attempts;
  const auto forbidden = [&](long result, std::string_view name) {
    const int error = errno;
    attempts.broke(result >= 0 || (error != EPERM && error != ENOSYS), name);
    if (result > 2) ::close(static_cast<int>(result));
  };
  char parameters[256]{};
  forbidden(::syscall(SYS_io_uring_setup, 1, parameters), "io_uring_setup");
  forbidden(::syscall(SYS_userfaultfd, 1 | O_CLOEXEC), "userfaultfd");
  forbidden(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0) < 0 ? -1 : 0,
            "keyctl");
  forbidden(::syscall(SYS_add_key, "user", "trial", "x", 1, KEY_SPEC_PROCESS_KEYRING) < 0 ? -1 : 0,
            "add_key");
  forbidden(::syscall(SYS_unshare, CLONE_NEWUSER), "unshare of a user namespace");
  forbidden(::syscall(SYS_setns, -1, 0), "setns");
  forbidden(::syscall(SYS_bpf, 0, nullptr, 0) < 0 && errno == EPERM ? -1 : (errno = EINVAL, -1),
            "bpf");
  forbidden(::syscall(SYS_clone3, nullptr, 0), "clone3");
  return attempts.broken();
}

std::string privileges(const Target& t) {
  Attempts attempts;
  attempts.broke(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1, "may gain privileges by exec");
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap)
    if ((t.capabilities >> cap & 1) == 0 && ::geteuid() == 0 &&
        ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) {
      attempts.broke(true, format("capability {} can be had", cap));
      break;
    }
  char name[65]{};
  if (::gethostname(name, sizeof name - 1) == 0)
    attempts.broke(::sethostname(name, std::strlen(name)) == 0, "set a host name");
  if (::mknod("device", S_IFCHR | 0600, makedev(1, 1)) == 0) {  // /dev/mem
    attempts.opened(::open("device", O_RDONLY | O_CLOEXEC), "opened a device that it made");
    ::unlink("device");
  }
  attempts.opened(::open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC),
                  "opened core_pattern for writing");
  return attempts.broken();
}

std::string shared_memory(const Target& t) {
  Attempts attempts;
  void* at = ::shmat(t.shm_id, nullptr, SHM_RDONLY);
  const bool attached = reinterpret_cast<std::intptr_t>(at) != -1;
  attempts.broke(attached, "attached shared memory of the host");
  if (attached) ::shmdt(at);
  return attempts.broken();
}

/// What a container's /proc and /sys must not show.
std::string kernel_files() {
  Attempts attempts;
  char byte = 0;
  for (const char* path : {"/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"}) {
    const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
    attempts.broke(file && ::read(file.get(), &byte, 1) > 0, format("read {}", path));
  }
  attempts.opened(::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC), "opened sysrq-trigger");
  attempts.broke(::access("/sys/firmware/acpi", F_OK) == 0, "saw /sys/firmware");
  return attempts.broken();
}

/// Whatever a program would inherit.
std::string descriptors() {
  Attempts attempts;
  for (int fd = 3; fd < 4096; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    attempts.broke(flags >= 0 && (flags & FD_CLOEXEC) == 0, format("descriptor {} is open", fd));
  }
  return attempts.broken();
}

void tell(int out, std::string_view defence, const std::string& broken) {
  [[maybe_unused]] const Result<> told =
      write_all(out, line_of({std::string(defence), broken}), "report");
}

}  // namespace

void attack(std::string_view target, int out) {
  const Target t = decode(target);
  tell(out, "descriptors", descriptors());
  tell(out, "files", files(t));
  tell(out, "attributes", attributes(t));
  tell(out, "mounts", mounts());
  tell(out, "signals", signals(t));
  tell(out, "tracing", tracing(t));
  tell(out, "network", network(t));
  tell(out, "unix_sockets", sockets(t));
  tell(out, "system_calls", system_calls());
  tell(out, "privileges", privileges(t));
  tell(out, "shared_memory", shared_memory(t));
  if (t.own_proc) tell(out, "kernel_files", kernel_files());
  if (!t.boot.empty()) {
    tell(out, "own_kernel", share_kernel(t));
    tell(out, "host_unreachable", reach_host());
  }
  if (t.open_files > 0) tell(out, "limit_open_files", exceed_open_files(t.open_files));
  if (t.file_size_bytes > 0) tell(out, "limit_file_size", exceed_file_size(t.file_size_bytes));
  if (t.tmpfs_bytes > 0) tell(out, "limit_tmpfs", exceed_tmpfs(t.tmpfs_bytes));
  if (t.pids > 0) tell(out, "limit_pids", exceed_pids(t.pids));
  if (t.cpu_percent > 0) tell(out, "limit_cpus", exceed_cpus(t.cpu_percent));
  if (t.memory_bytes > 0) tell(out, "limit_memory", exceed_memory(t.memory_bytes));
  [[maybe_unused]] const Result<> told = write_all(out, "end\n", "report");
}

}  // namespace caisson::trial
