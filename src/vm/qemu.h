// Qemu: the process that is the machine, with as few rights as it can have.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"

namespace caisson::vm {

struct QemuOptions {
  std::vector<std::string> words;  ///< the command line
  std::vector<int> fds;            ///< that it keeps, under their numbers
  int output = -1;                 ///< its stdout and stderr
  std::vector<int> cgroups;        ///< to join, see sys::Cgroup::join_fds
  std::vector<int> readable;       ///< files that it opens again by /proc/self/fd
  bool asks = false;               ///< what it opens for writing is answered, see opens.h
  bool keeps_file = false;         ///< of its memory, see opens.h
  uid_t uid = 0;                   ///< whose it is, in our user namespace
  bool kvm = false;                ///< it opens /dev/kvm
  std::string without;             ///< for a trial: the row whose defence is left out
};

struct Qemu {
  pid_t pid = -1;
  Fd pidfd;
  Fd opens;  ///< where it asks
};

/// Starts it: in network, IPC, UTS and mount namespaces of its own with a root that holds programs
/// and libraries alone, without capabilities or the way to new ones, with Landlock (programs and
/// libraries of /usr to read, nothing to write), unable to make sockets, and ended with us. Needs
/// CAP_SYS_ADMIN and CAP_SETUID in our user namespace. The other filter of system calls is QEMU's
/// own (-sandbox).
Result<Qemu> start_qemu(const QemuOptions& options);

}  // namespace caisson::vm
