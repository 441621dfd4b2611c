// Packing a tree into a tar archive.
#pragma once

#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "files/tar_writer.h"

namespace caisson::files {

struct PackOptions {
  std::string name;     ///< of the first member; those below it begin with it and a slash
  bool xattrs = false;  ///< user.* and file capabilities too
  bool devices = false;
};

struct Packed {
  std::uint64_t files = 0;    ///< members, of any type
  std::uint64_t bytes = 0;    ///< of content
  std::uint64_t skipped = 0;  ///< sockets, and devices that were not asked for
};

/// Writes `entry`, opened with O_PATH, and all below it, but not the archive's end. Symbolic links
/// below are packed as such, never followed; what is mounted below is packed too. A file that
/// vanishes meanwhile is left out. `tree_too_deep`, and the errors of the system.
Result<Packed> pack(const Fd& entry, const PackOptions& options, TarWriter& tar);

}  // namespace caisson::files
