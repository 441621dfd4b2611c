// Rootfs: of what a box's root file system is made. A pure value, made by image/, used by the
// isolations.
#pragma once

#include <string>
#include <vector>

#include "caisson/spec.h"

namespace caisson {

/// A host path shown read-only at the same place in every box of this source.
struct HostView {
  std::string path;
  friend bool operator==(const HostView&, const HostView&) = default;
};

struct Rootfs {
  /// Below `lower_parent` when that is set, else absolute: directories, topmost first.
  std::vector<std::string> lowers;
  /// The directory all lowers are in (`<home>/layers`): one id-mapped mount shows all of them.
  std::string lower_parent;
  RootfsStrategy strategy = RootfsStrategy::kOverlay;
  std::vector<std::string> volumes;  ///< stay writable when the root is read-only
  std::vector<HostView> views;
  bool private_tmp = false;   ///< /tmp is a tmpfs of the box's own
  std::string workdir = "/";  ///< where commands start unless told otherwise
  friend bool operator==(const Rootfs&, const Rootfs&) = default;
};

}  // namespace caisson
