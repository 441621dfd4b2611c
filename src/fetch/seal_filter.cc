#include "fetch/seal_filter.h"

#include <linux/filter.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <string>

#include "spec/text.h"
#include "sys/seccomp_table.h"

namespace caisson::fetch {
namespace {

constexpr SeccompDecision kAllow{SeccompAction::kAllow, 0};
constexpr SeccompDecision kRefuse{SeccompAction::kErrno, EPERM};
constexpr SeccompDecision kAbsent{SeccompAction::kErrno, ENOSYS};

// Descriptors that are open, the tree below the root, memory, threads that are there, the control
// socket. No call that takes a path except relative to a descriptor of the seal.
constexpr std::string_view kUnpackerCalls =
    "read pread64 readv preadv write pwrite64 writev pwritev lseek close close_range "
    "fstat newfstatat statx openat openat2 mkdirat mknodat unlinkat linkat symlinkat readlinkat "
    "fchmod fchmodat fchmodat2 fchown fchownat utimensat ftruncate fallocate copy_file_range "
    "fsetxattr fgetxattr flistxattr fremovexattr getdents64 fcntl fadvise64 "
    "munmap mremap madvise brk futex futex_wait futex_wake set_robust_list rseq sched_yield "
    "exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall "
    "gettid getpid getppid getuid geteuid getgid getegid setfsuid setfsgid tgkill getrandom "
    "clock_gettime clock_nanosleep nanosleep gettimeofday poll ppoll recvfrom recvmsg sendto "
    "sendmsg sched_getaffinity sysinfo prlimit64 uname getrusage";

// A client that resolves names and talks TLS needs none of these.
constexpr std::string_view kSourceRefused =
    "execve execveat ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp "
    "mount umount2 pivot_root chroot fsopen fsmount fsconfig fspick open_tree move_mount "
    "mount_setattr setns unshare bpf perf_event_open userfaultfd keyctl add_key request_key "
    "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff "
    "sethostname setdomainname acct quotactl quotactl_fd settimeofday clock_settime adjtimex "
    "clock_adjtime iopl ioperm syslog personality io_uring_setup io_uring_enter io_uring_register "
    "name_to_handle_at open_by_handle_at fanotify_init memfd_secret lookup_dcookie modify_ldt "
    "chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat setxattr lsetxattr fsetxattr "
    "setxattrat removexattr lremovexattr fremovexattr removexattrat utime utimes utimensat "
    "futimesat "
    "mknod mknodat link linkat symlink symlinkat setuid setgid setreuid setregid setresuid "
    "setresgid setgroups setfsuid setfsgid capset kill tkill rt_sigqueueinfo rt_tgsigqueueinfo "
    "pidfd_send_signal msgget msgsnd msgrcv msgctl semget semop semctl semtimedop shmget shmat "
    "shmctl shmdt mq_open mq_unlink landlock_create_ruleset vhangup fork vfork";

void add_calls(sys::SeccompTable& table, std::string_view names, SeccompDecision decision) {
  for (const std::string_view name : spec::split(names, ' '))
    if (sys::syscall_number(name) >= 0) table.calls.push_back({name, {}, decision});
}

/// Threads only, and nothing in new namespaces. clone3's flags are behind a pointer: absent, so
/// that the C library takes clone.
void add_threads(sys::SeccompTable& table) {
  constexpr std::uint32_t kNew = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  table.calls.push_back({"clone", {{{{0, CLONE_THREAD | kNew, CLONE_THREAD}}, kAllow}}, kRefuse});
  table.calls.push_back({"clone3", {}, kAbsent});
}

/// No memory becomes a program. The libraries are loaded already.
void add_memory(sys::SeccompTable& table) {
  for (const std::string_view name : {"mmap", "mprotect"})
    table.calls.push_back({name, {{{{2, PROT_EXEC, 0}}, kAllow}}, kRefuse});
}

/// No sockets of the host: who sits behind one of them trusts our user id. A pair of streams cannot
/// be connected anew, unlike one of datagrams.
void add_sockets(sys::SeccompTable& table) {
  constexpr std::uint32_t kAll = 0xffffffff;
  table.calls.push_back({"socket",
                         {{{{0, kAll, AF_INET}}, kAllow},
                          {{{0, kAll, AF_INET6}}, kAllow},
                          {{{0, kAll, AF_NETLINK}}, kAllow}},
                         kRefuse});
  table.calls.push_back({"socketpair", {{{{1, 0xf, SOCK_STREAM}}, kAllow}}, kRefuse});
}

Result<> install(const sys::SeccompTable& table) {
  const std::string program = TRY(sys::compile_seccomp_table(table));
  const int err = sys::install_seccomp(program.data(), program.size() / sizeof(sock_filter));
  return err == 0 ? Result<>() : errno_error(err, "install seccomp filter", "");
}

}  // namespace

Result<> install_unpacker_filter() {
  sys::SeccompTable table{kRefuse, {}};
  add_calls(table, kUnpackerCalls, kAllow);
#ifdef __SANITIZE_ADDRESS__
  add_calls(table, "pipe pipe2", kAllow);  // the sanitizers look with them whether memory is there
#endif
  add_threads(table);
  add_memory(table);
  return install(table);
}

Result<> install_source_filter(bool network) {
  sys::SeccompTable table{kAllow, {}};
  add_calls(table, kSourceRefused, kRefuse);
  add_threads(table);
  if (network)
    add_sockets(table);
  else
    add_calls(table, "socket socketpair connect bind listen accept accept4", kRefuse);
  return install(table);
}

}  // namespace caisson::fetch
