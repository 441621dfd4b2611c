// Rootfs: of what a box's root file system is made. A pure value, made by image/, used by the
// isolations.
#pragma once

#include <string>
#include <vector>

namespace caisson {

/// A host path shown read-only at the same place in every box of this source.
struct HostView {
  std::string path;
  friend bool operator==(const HostView&, const HostView&) = default;
};

struct Rootfs {
  std::vector<std::string> lowers;  ///< directories, topmost first
  std::vector<HostView> views;
  bool private_tmp = false;   ///< /tmp is a tmpfs of the box's own
  std::string workdir = "/";  ///< where commands start unless told otherwise
  friend bool operator==(const Rootfs&, const Rootfs&) = default;
};

}  // namespace caisson
