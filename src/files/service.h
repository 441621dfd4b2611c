// Service: does what clients ask of a box's files, in a process inside the box.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace caisson::files {

struct ServiceOptions {
  std::uint32_t uid = 0, gid = 0;  ///< the box's root, as the box sees it
  /// The box does not run: what is written where one of these is mounted would be gone.
  std::vector<std::string> in_memory;
};

/// Serves the client behind the stream socket until it goes. The process's root is the box's.
void serve(int socket, const ServiceOptions& options);

}  // namespace caisson::files
