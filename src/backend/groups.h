// Names of the cgroups that belong to a box.
#pragma once

#include <array>
#include <string>

namespace caisson::backend {

/// Of the container that shows a microVM the host's files.
inline std::string files_group(const std::string& box) { return box + ".files"; }

/// All that a box may have.
inline std::array<std::string, 2> groups_of(const std::string& box) {
  return {box, files_group(box)};
}

}  // namespace caisson::backend
