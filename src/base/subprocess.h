// Starting host programs that Caisson trusts (the shim, newuidmap, mke2fs).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace caisson {

struct SpawnOptions {
  std::vector<std::string> env;          ///< "K=V"; nothing is inherited
  std::vector<std::pair<int, int>> fds;  ///< {ours, theirs}; others are CLOEXEC
  bool new_session = false;
};

/// posix_spawn(3) of `argv[0]` (a path). Returns the process id; the caller reaps it.
Result<int> spawn(const std::vector<std::string>& argv, const SpawnOptions& options);

/// Starts `argv[0]` as nobody's child: the new process is no child of ours, and is in a session of
/// its own. Costs the same whatever the size of this process. The environment is empty.
Result<> spawn_detached(const std::vector<std::string>& argv,
                        const std::vector<std::pair<int, int>>& fds);

/// Runs to the end; a non-zero status is an error holding the last line of its stderr.
Result<> run(const std::vector<std::string>& argv, std::vector<std::string> env = {});

}  // namespace caisson
