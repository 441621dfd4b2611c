// ExecBlock: everything that a new process needs, prepared so that the forked child allocates
// nothing. It travels from the shim to the box's first process in a memfd.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "files/service.h"
#include "init/exec_layout.h"
#include "sys/capabilities.h"

namespace caisson::init {

struct ResourceLimit {
  int resource = 0;  ///< RLIMIT_*
  std::uint64_t soft = 0, hard = 0;
};

/// What to execute, as the shim sees it.
struct ProcessImage {
  std::vector<std::string> argv;
  std::vector<std::string> env;         ///< "K=V"
  std::vector<std::string> candidates;  ///< paths to try in turn
  std::string workdir;
  std::uint32_t uid = 0, gid = 0;  ///< inside
  std::vector<std::uint32_t> groups;
  bool set_groups = true;         ///< false in a namespace where setgroups(2) is denied
  sys::CapMask capabilities = 0;  ///< permitted and effective
  sys::CapMask bounding = 0;
  bool no_new_privileges = true;
  bool terminal = false;  ///< stdin becomes the controlling terminal
  bool unfiltered = false;
  bool serves_files = false;  ///< nothing is executed: it serves files over stdin, a socket
  /// The ids stay what they are, and no namespace is entered. The capabilities stay too, unless
  /// no_new_privileges is set.
  bool own_ids = false;
  bool attacks = false;  ///< nothing is executed: the attacks of a trial, to stdout
  bool leaks = false;    ///< for a trial: a descriptor stays open
  std::vector<ResourceLimit> limits;
};

/// A memfd holding `image`.
Result<Fd> make_exec_block(const ProcessImage& image);

std::string_view to_string(ExecStep step);

/// What init holds for every exec.
struct ExecContext {
  int userns = -1;           ///< to enter; -1: with ProcessImage::own_ids
  int landlock = -1;         ///< a ruleset to restrict itself with; -1: none
  int launcher = -1;         ///< see launcher.h; -1: none is needed
  std::string_view seccomp;  ///< a BPF program, empty: no filter
  const files::ServiceOptions* service = nullptr;
  int listener = -1;       ///< a socket that the filter's listener goes to; -1: there is none
  std::string_view trial;  ///< the target of attacks
};

/// In the forked child: becomes the process. Never returns; writes an ExecFailure to `status` when
/// something fails, and exits. Until it is the process it allocates nothing and takes no lock.
[[noreturn]] void become(const ExecContext& context, int block, int in, int out, int err,
                         int status) noexcept;

}  // namespace caisson::init
