// Rootfs: of what a box's root file system is made. A pure value, made by image/, used by the
// isolations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "caisson/spec.h"

namespace caisson {

/// A host path shown read-only in every box of this source.
struct HostView {
  std::string path;
  std::string place;   ///< in the box; empty: the same
  bool alone = false;  ///< without what is mounted below it
  friend bool operator==(const HostView&, const HostView&) = default;
};

struct Rootfs {
  /// Directories, topmost first: absolute paths, or names in `lower_parent`.
  std::vector<std::string> lowers;
  /// `<home>/layers`: one id-mapped mount shows all lowers that are in it.
  std::string lower_parent;
  /// For a guest: what `lowers` hold as an ext4 image, absolute; empty: none.
  std::string disk;
  /// For a guest: the directory of what the box begins with, its disk and perhaps its memory
  /// (docs/formats/home.md, layers/); empty: an empty disk.
  std::string saved;
  /// What distinguishes the writable layer from earlier ones of the box; empty: the first.
  std::string generation;
  std::uint64_t written_bytes = 0;  ///< what lowers hold that boxes wrote: counts as the box's own
  RootfsStrategy strategy = RootfsStrategy::kOverlay;
  std::vector<std::string> volumes;  ///< stay writable when the root is read-only
  std::vector<HostView> views;
  bool private_tmp = false;   ///< /tmp is a tmpfs of the box's own
  std::string workdir = "/";  ///< where commands start unless told otherwise
  friend bool operator==(const Rootfs&, const Rootfs&) = default;
};

/// The path of one of its lowers.
inline std::string lower_path(const Rootfs& rootfs, const std::string& lower) {
  return lower.starts_with('/') ? lower : rootfs.lower_parent + "/" + lower;
}
/// The name, in the box's directory, of what the box writes into.
inline std::string writable_name(const Rootfs& rootfs) {
  const std::string kind = rootfs.strategy == RootfsStrategy::kMerged ? "rootfs"
                           : rootfs.strategy == RootfsStrategy::kDisk ? "machine"
                                                                      : "upper";
  return rootfs.generation.empty() ? kind : kind + "." + rootfs.generation;
}

}  // namespace caisson
