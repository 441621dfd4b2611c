// What kind of file system something is on, statfs(2).
#pragma once

#include <string>

#include "base/fd.h"

namespace caisson::sys {

struct Filesystem {
  std::string name;        ///< "ext4", "xfs", …; the magic number where we have no name
  bool read_only = false;  ///< the file system or the mount
};
Result<Filesystem> filesystem_of(int fd);

}  // namespace caisson::sys
