#include "init/seccomp_default.h"

#include <algorithm>
#include <cerrno>

#include "base/format.h"

namespace caisson::init {
namespace {

constexpr SeccompVerdict kAllow = SeccompVerdict::kAllow;
constexpr SeccompVerdict kDeny = SeccompVerdict::kDeny;
constexpr SeccompVerdict kAbsent = SeccompVerdict::kAbsent;

// Columns: minimal, standard, full; needed capability; reason; calls.
constexpr SeccompGroup kGroups[] = {
    // What programs are made of.
    {kAllow, kAllow, kAllow, "", "files through descriptors: every program",
     "read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek close "
     "close_range dup dup2 dup3 fcntl flock fsync fdatasync sync syncfs sync_file_range ftruncate "
     "truncate fallocate fadvise64 readahead sendfile copy_file_range splice tee pipe pipe2 "
     "cachestat"},
    {kAllow, kAllow, kAllow, "",
     "files by name: the box sees only its own mounts, and the kernel checks ids inside it",
     "open openat openat2 creat access faccessat faccessat2 stat lstat fstat newfstatat statx "
     "statfs fstatfs getdents getdents64 readlink readlinkat getcwd chdir fchdir mkdir mkdirat "
     "rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmod "
     "fchmodat fchmodat2 chown fchown lchown fchownat umask utime utimes futimesat utimensat"},
    {kAllow, kAllow, kAllow, "",
     "FIFOs and regular files need no capability; device nodes are refused by the box's user "
     "namespace and by nodev mounts",
     "mknod mknodat"},
    {kAllow, kAllow, kAllow, "", "extended attributes: tar, rsync, package managers",
     "getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr "
     "removexattr lremovexattr fremovexattr getxattrat setxattrat listxattrat removexattrat"},
    {kAllow, kAllow, kAllow, "", "memory of the caller itself",
     "brk mmap munmap mremap mprotect madvise msync mincore mlock mlock2 munlock mlockall "
     "munlockall membarrier memfd_create pkey_alloc pkey_free pkey_mprotect map_shadow_stack "
     "mseal"},
    {kAllow, kAllow, kAllow, "", "processes and threads; clone's flags are checked apart",
     "fork vfork execve execveat exit exit_group wait4 waitid set_tid_address gettid getpid "
     "getppid getpgid getpgrp setpgid getsid setsid kill tkill tgkill rt_sigqueueinfo "
     "rt_tgsigqueueinfo pidfd_open pidfd_send_signal process_mrelease restart_syscall rseq "
     "set_robust_list get_robust_list"},
    {kAllow, kAllow, kAllow, "",
     "per-thread machine state; prctl is needed for names, pdeathsig and no_new_privs",
     "arch_prctl prctl set_thread_area get_thread_area"},
    {kAllow, kAllow, kAllow, "", "signals",
     "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait "
     "sigaltstack signalfd signalfd4 pause"},
    {kAllow, kAllow, kAllow, "", "locks and waiting",
     "futex futex_waitv futex_wait futex_wake futex_requeue poll ppoll select pselect6 "
     "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 "
     "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch"},
    {kAllow, kAllow, kAllow, "", "clocks and timers, reading the time only",
     "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer setitimer "
     "alarm timer_create timer_settime timer_gettime timer_getoverrun timer_delete "
     "timerfd_create timerfd_settime timerfd_gettime times"},
    {kAllow, kAllow, kAllow, "",
     "identity and capabilities: ids exist only in the box's user namespace, and no_new_privs or "
     "the bounding set limits what they give",
     "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid "
     "setresuid setresgid setfsuid setfsgid setgroups capget capset"},
    {kAllow, kAllow, kAllow, "",
     "scheduling and limits of the box's own processes; raising them takes capabilities of the "
     "host",
     "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam "
     "sched_getscheduler sched_setscheduler sched_getattr sched_setattr sched_get_priority_max "
     "sched_get_priority_min sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set "
     "getrlimit setrlimit prlimit64 getrusage getcpu"},
    {kAllow, kAllow, kAllow, "", "facts about the system and randomness",
     "uname sysinfo getrandom"},
    {kAllow, kAllow, kAllow, "", "mounts of the box's own namespace, as in /proc/self/mountinfo",
     "statmount listmount"},
    {kAllow, kAllow, kAllow, "",
     "sockets once open; their families are checked by socket and socketpair",
     "bind listen accept accept4 connect getsockname getpeername getsockopt setsockopt sendto "
     "recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown"},
    {kAllow, kAllow, kAllow, "",
     "System V and POSIX inter-process communication, in the box's own ipc namespace; databases",
     "shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open "
     "mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr"},
    {kAllow, kAllow, kAllow, "",
     "a program may sandbox itself further: browsers, ssh, systemd units",
     "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"},
    {kAllow, kAllow, kAllow, "",
     "entered by the kernel's own probes in traced code; refusing them kills the traced program",
     "uretprobe uprobe"},

    // Wanted by some programs; code that only computes does without.
    {kAbsent, kAllow, kAllow, "",
     "asynchronous I/O of the old kind: databases; programs fall back to threads",
     "io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy"},
    {kAbsent, kAllow, kAllow, "", "rarely used page tricks with a history of kernel faults",
     "vmsplice remap_file_pages memfd_secret"},
    {kAbsent, kAllow, kAllow, "", "handles name files without paths; opening them stays denied",
     "name_to_handle_at"},
    {kDeny, kAllow, kAllow, "CAP_SYS_CHROOT",
     "chroot keeps a process inside the box's root at best; package tools and daemons use it",
     "chroot"},

    // For debuggers: a box of the profile full may look into its own processes.
    {kDeny, kDeny, kAllow, "",
     "reading and steering other processes: strace and gdb, within the box's pid namespace",
     "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd"},
    {kAbsent, kAbsent, kAllow, "", "memory advice for another process", "process_madvise"},
    {kDeny, kDeny, kAllow, "",
     "segments for 16-bit code: Wine and DOS emulators only, and a history of kernel faults",
     "modify_ldt"},

    // Dangerous in every profile.
    {kAbsent, kAbsent, kAbsent, "",
     "a filter cannot read clone3's flags from memory; without the call libc uses clone", "clone3"},
    {kDeny, kDeny, kDeny, "",
     "new namespaces give a process capabilities over kernel code that it could not reach before",
     "unshare setns"},
    {kDeny, kDeny, kDeny, "", "mounts: the box's file tree is fixed when it starts",
     "mount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick "
     "mount_setattr"},
    {kDeny, kDeny, kDeny, "", "keyrings are not separated by namespaces",
     "add_key request_key keyctl"},
    {kDeny, kDeny, kDeny, "",
     "lets a program stop the kernel at a page fault: the tool of choice in race exploits",
     "userfaultfd"},
    {kDeny, kDeny, kDeny, "", "io_uring performs calls that no filter sees",
     "io_uring_setup io_uring_enter io_uring_register"},
    {kDeny, kDeny, kDeny, "", "code in the kernel and counters of the whole machine",
     "bpf perf_event_open"},
    {kDeny, kDeny, kDeny, "", "a handle opens files that no path of the box reaches",
     "open_by_handle_at"},
    {kDeny, kDeny, kDeny, "", "watches whole filesystems, the host's part included",
     "fanotify_init fanotify_mark"},
    {kDeny, kDeny, kDeny, "", "loads or replaces kernel code",
     "init_module finit_module delete_module create_module kexec_load kexec_file_load"},
    {kDeny, kDeny, kDeny, "",
     "the machine as a whole: power, swap, accounting, quotas, log, ports, names, terminals",
     "reboot swapon swapoff acct quotactl quotactl_fd syslog iopl ioperm sethostname "
     "setdomainname vhangup"},
    {kDeny, kDeny, kDeny, "", "the machine's clock",
     "settimeofday clock_settime adjtimex clock_adjtime"},
    {kDeny, kDeny, kDeny, "",
     "placement of memory on NUMA nodes: takes from other boxes, and moves other processes' pages",
     "mbind set_mempolicy set_mempolicy_home_node get_mempolicy move_pages migrate_pages"},
    {kDeny, kDeny, kDeny, "", "obsolete, and not needed by any program in use",
     "uselib lookup_dcookie nfsservctl _sysctl"},
};

SeccompVerdict verdict_of(const SeccompGroup& group, Profile profile,
                          const std::set<std::string>& granted_caps) {
  const SeccompVerdict verdict = profile == Profile::kMinimal    ? group.minimal
                                 : profile == Profile::kStandard ? group.standard
                                                                 : group.full;
  const bool lacking =
      !group.capability.empty() && !granted_caps.contains(std::string(group.capability));
  return verdict == SeccompVerdict::kAllow && lacking ? SeccompVerdict::kDeny : verdict;
}

SeccompDecision decision_of(SeccompVerdict verdict) {
  switch (verdict) {
    case SeccompVerdict::kAllow:
      return {SeccompAction::kAllow, 0};
    case SeccompVerdict::kDeny:
      return {SeccompAction::kErrno, EPERM};
    case SeccompVerdict::kAbsent:
      break;
  }
  return {SeccompAction::kErrno, ENOSYS};
}

}  // namespace

std::span<const SeccompGroup> seccomp_groups() { return kGroups; }

sys::SeccompTable builtin_seccomp_table(Profile profile,
                                        const std::set<std::string>& granted_caps) {
  sys::SeccompTable table;
  table.default_decision = decision_of(SeccompVerdict::kAbsent);
  table.calls = seccomp_argument_calls(profile);
  for (const SeccompGroup& group : kGroups) {
    const SeccompDecision decision = decision_of(verdict_of(group, profile, granted_caps));
    std::string_view names = group.names;
    while (!names.empty()) {
      const std::size_t end = std::min(names.find(' '), names.size());
      table.calls.push_back({names.substr(0, end), {}, decision});
      names.remove_prefix(std::min(end + 1, names.size()));
    }
  }
  return table;
}

std::string builtin_seccomp_key(Profile profile, const std::set<std::string>& granted_caps) {
  std::string key = format("builtin {} {}", CAISSON_SECCOMP_DIGEST, static_cast<int>(profile));
  for (const SeccompGroup& group : kGroups) {
    if (group.capability.empty()) continue;
    if (granted_caps.contains(std::string(group.capability)))
      key.append(" ").append(group.capability);
  }
  return key;
}

}  // namespace caisson::init
