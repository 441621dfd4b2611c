// What the policy forbids besides when a box has no namespaces of its own.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "init/seccomp_default.h"

namespace caisson::init {
namespace {

using sys::SeccompBits;
using sys::SeccompCall;

constexpr SeccompDecision kAllow{SeccompAction::kAllow, 0};
constexpr SeccompDecision kRefuse{SeccompAction::kErrno, EPERM};
constexpr SeccompBits is(unsigned argument, std::uint32_t value) {
  return {argument, 0xffffffff, value};
}

/// Memory, queues and semaphores of the host, by keys and names that everybody can guess; and the
/// names that appear in directories of the host.
constexpr std::string_view kHostWide[] = {
    "shmget",    "shmat",         "shmctl",           "shmdt",
    "semget",    "semop",         "semtimedop",       "semctl",
    "msgget",    "msgsnd",        "msgrcv",           "msgctl",
    "mq_open",   "mq_unlink",     "mq_timedsend",     "mq_timedreceive",
    "mq_notify", "mq_getsetattr", "inotify_add_watch"};

/// Modes, owners, times and attributes of files: Landlock has no word on them, and the kernel asks
/// for nothing but ownership. Init looks at the file and does it, or does not
/// (process/attributes.h).
constexpr std::string_view kAttributes[] = {
    "chmod",    "fchmod",    "fchmodat",  "fchmodat2",   "chown",        "lchown",
    "fchown",   "fchownat",  "utime",     "utimes",      "futimesat",    "utimensat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"};

/// Landlock has no word on these, and the kernel lets a user do them to any of its processes:
/// only 0, the caller itself, is left.
SeccompCall own(std::string_view name, unsigned argument) {
  return {name, {{{is(argument, 0)}, kAllow}}, kRefuse};
}

/// `which` chooses among a process, a group and a user: only the caller itself is left.
SeccompCall own_process(std::string_view name, std::uint32_t process) {
  return {name, {{{is(0, process), is(1, 0)}, kAllow}}, kRefuse};
}

/// A TCP socket, and no other protocol on its type: Landlock's ports are those of TCP.
SeccompCall tcp_socket() {
  constexpr SeccompBits kInternet{0, ~8u, AF_INET};
  SeccompCall call{"socket", {}, {SeccompAction::kErrno, EACCES}};
  for (const std::uint32_t protocol : {0u, 0u + IPPROTO_TCP})
    call.cases.push_back({{kInternet, {1, 0xf, SOCK_STREAM}, is(2, protocol)}, kAllow});
  return call;
}

/// A connected pair of datagram sockets could be connected to any path or name of the host.
SeccompCall connected_pair() {
  return {"socketpair",
          {{{is(0, AF_UNIX), {1, 0xf, SOCK_STREAM}}, kAllow},
           {{is(0, AF_UNIX), {1, 0xf, SOCK_SEQPACKET}}, kAllow}},
          {SeccompAction::kErrno, EACCES}};
}

/// A new file that would give the box's ids to whoever runs it: the flags are before the mode,
/// which means something only when a file is made.
SeccompCall open_call(std::string_view name, unsigned flags, bool forbid_truncate) {
  SeccompCall call{name, {}, kAllow};
  for (const std::uint32_t making : {std::uint32_t{O_CREAT}, std::uint32_t{O_TMPFILE}})
    for (const std::uint32_t id : {std::uint32_t{S_ISUID}, std::uint32_t{S_ISGID}})
      call.cases.push_back({{{flags, making, making}, {flags + 1, id, id}}, kRefuse});
  // One that is opened for reading, or for nothing (both bits of the access mode), would lose its
  // content without a right to write.
  constexpr std::uint32_t kMask = O_ACCMODE | O_TRUNC;
  if (forbid_truncate)
    for (const std::uint32_t mode : {std::uint32_t{O_RDONLY}, std::uint32_t{O_ACCMODE}})
      call.cases.push_back({{{flags, kMask, mode | O_TRUNC}}, kRefuse});
  return call;
}

/// creat(2), mknod(2): always make.
SeccompCall make_call(std::string_view name, unsigned mode) {
  return {
      name, {{{{mode, S_ISUID, S_ISUID}}, kRefuse}, {{{mode, S_ISGID, S_ISGID}}, kRefuse}}, kAllow};
}

/// TCP Fast Open connects without asking anybody whether the port is allowed.
SeccompCall send_call(std::string_view name, unsigned flags) {
  return {name, {{{{flags, MSG_FASTOPEN, MSG_FASTOPEN}}, kRefuse}}, kAllow};
}

/// A lease on a file that may be read stops the host from opening it; dnotify is an older inotify.
SeccompCall fcntl_call() {
  return {"fcntl", {{{is(1, F_SETLEASE)}, kRefuse}, {{is(1, F_NOTIFY)}, kRefuse}}, kAllow};
}

/// Attributes of inodes, which need no right to write, beside what is refused everywhere.
void refuse_inode_ioctls(sys::SeccompTable& table) {
  constexpr std::uint32_t kSetFlags32 = 0x40046602;  // FS_IOC32_SETFLAGS
  constexpr std::uint32_t kVersion32 = 0x40047602;   // FS_IOC32_SETVERSION
  constexpr std::uint32_t kBtrfs = 0x94;             // the type of btrfs' own requests
  for (SeccompCall& call : table.calls) {
    if (call.name != "ioctl") continue;
    for (const std::uint32_t request :
         {std::uint32_t{FS_IOC_SETFLAGS}, kSetFlags32, std::uint32_t{FS_IOC_SETVERSION}, kVersion32,
          std::uint32_t{FS_IOC_FSSETXATTR}, std::uint32_t{FS_IOC_ENABLE_VERITY}})
      call.cases.push_back({{is(1, request)}, kRefuse});
    call.cases.push_back({{is(1, FICLONE)}, kAllow});
    call.cases.push_back({{is(1, FICLONERANGE)}, kAllow});
    call.cases.push_back({{{1, 0xff00, kBtrfs << 8}}, kRefuse});
  }
}

void replace(sys::SeccompTable& table, SeccompCall call) {
  for (SeccompCall& existing : table.calls)
    if (existing.name == call.name) {
      existing = std::move(call);
      return;
    }
  table.calls.push_back(std::move(call));
}

}  // namespace

void restrict_to_own(sys::SeccompTable& table, const SharedHost& shared) {
  for (const std::string_view name : kHostWide) replace(table, {name, {}, kRefuse});
  for (const std::string_view name :
       {"prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"})
    replace(table, own(name, 0));
  for (const std::string_view name : kAttributes)
    replace(table, {name, {}, {SeccompAction::kNotify, 0}});
  for (const std::string_view name : {"setxattrat", "removexattrat"})
    replace(table, {name, {}, {SeccompAction::kErrno, ENOSYS}});
  replace(table, own_process("setpriority", 0));  // PRIO_PROCESS
  replace(table, own_process("ioprio_set", 1));   // IOPRIO_WHO_PROCESS
  replace(table, connected_pair());
  replace(table, fcntl_call());
  refuse_inode_ioctls(table);
  if (shared.tcp) {
    replace(table, send_call("sendto", 3));
    replace(table, send_call("sendmsg", 2));
    replace(table, send_call("sendmmsg", 3));
  }
  // Without a port a socket gets one when it listens; a pair's end could take an abstract name.
  const bool free_ports = shared.internet && !shared.tcp;
  if (!shared.listens && !free_ports) {
    replace(table, {"listen", {}, {SeccompAction::kErrno, EACCES}});
    replace(table, {"bind", {}, {SeccompAction::kErrno, EACCES}});
  }
  if (free_ports) {
    // Sockets in the file system and abstract ones are the host's: never, in any mode.
    for (SeccompCall& call : table.calls)
      if (call.name == "socket")
        std::erase_if(call.cases, [](const sys::SeccompCase& one) {
          return one.when.size() == 1 && one.when[0].argument == 0 && one.when[0].value == AF_UNIX;
        });
  } else if (shared.tcp) {
    replace(table, tcp_socket());
  } else {
    replace(table, {"socket", {}, {SeccompAction::kErrno, EACCES}});
  }
  replace(table, open_call("open", 1, shared.forbid_truncate));
  replace(table, open_call("openat", 2, shared.forbid_truncate));
  replace(table, make_call("creat", 1));
  replace(table, make_call("mknod", 1));
  replace(table, make_call("mknodat", 2));
  // Its arguments are in memory, where a filter cannot look.
  replace(table, {"openat2", {}, {SeccompAction::kErrno, ENOSYS}});
  if (shared.forbid_truncate) replace(table, {"truncate", {}, kRefuse});
}

}  // namespace caisson::init
