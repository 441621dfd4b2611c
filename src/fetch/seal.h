// Giving up what a process that reads hostile bytes does not need. One way, for the whole life of
// the process, which must have one thread.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"

namespace caisson::fetch {

/// What an unpacker keeps. On success the descriptors are replaced by detached mounts that lead
/// nowhere else: `own` nodev, nosuid and noexec, the others read-only too.
struct UnpackerSeal {
  bool nobody = false;    ///< becomes user 65534 (root's) instead of staying the namespace's root
  Fd* own = nullptr;      ///< everything below it may be changed; becomes the root directory
  std::string own_name;   ///< its name in `staging`
  Fd* staging = nullptr;  ///< may be read
  Fd* layers = nullptr;   ///< may be read
  std::vector<int> keep;  ///< other descriptors that stay open
};
/// New mount, network and IPC namespaces; ids; capabilities (chown, dac_override, fowner, fsetid,
/// mknod, setfcap); Landlock; resource limits; a seccomp filter without exec, fork, new sockets,
/// ptrace, … Errors: `landlock_unavailable`, or that of the step that failed.
Result<> seal_unpacker(const UnpackerSeal& seal);

/// What the source keeps: the network, and files below these directories.
struct SourceSeal {
  bool nobody = false;          ///< becomes user and group 65534 without capabilities (root's)
  bool network = true;          ///< talks to a registry; else no socket at all
  bool read_anywhere = false;   ///< keeps CAP_DAC_READ_SEARCH: the source is somebody's directory
  std::vector<int> read;        ///< directories or files, open (O_PATH suffices), to be read
  std::vector<int> read_write;  ///< directories to make, write and read files in
  std::vector<int> keep;        ///< descriptors that stay open; all others are closed
};
/// Adds for reading, with `network`, what name resolution and TLS need of the host
/// (/etc/resolv.conf, /etc/ssl, …). Afterwards: no exec, no new namespaces, no mounts, no ptrace,
/// no change of modes or owners. Closes `read` and `read_write` too unless they are in `keep`.
/// Threads may be made.
Result<> seal_source(const SourceSeal& seal);

}  // namespace caisson::fetch
