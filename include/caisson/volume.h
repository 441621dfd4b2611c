// Volumes: named directories of a home that outlive the boxes that use them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/result.h"

namespace caisson {

struct VolumeSpec {
  std::string name;                           ///< as a box's; empty: a new ULID
  std::map<std::string, std::string> labels;  ///< keys are not empty
  /// The most that its files may take on disk; writing more fails with ENOSPC or EDQUOT. Only root,
  /// on an XFS or ext4 with project quotas (`volume_size_unsupported`).
  std::optional<std::uint64_t> size_bytes;
  friend bool operator==(const VolumeSpec&, const VolumeSpec&) = default;
};

struct VolumeInfo {
  std::string name;
  /// Absolute, on the host. What is in it may belong to the ids of boxes.
  std::string path;
  std::int64_t created_ns = 0;  ///< since the Unix epoch
  std::map<std::string, std::string> labels;
  std::optional<std::uint64_t> size_bytes;  ///< as in VolumeSpec
  std::vector<std::string> used_by;         ///< ids of boxes, also of those that do not run
  friend bool operator==(const VolumeInfo&, const VolumeInfo&) = default;
};
/// The JSON object that `caisson volume inspect` prints.
std::string to_json(const VolumeInfo& info);

/// The volumes of a home. Cheap to copy; thread-safe. A box uses one by a mount of type kVolume,
/// which makes it when there is none of the name; several boxes may use one at the same time.
///
///     auto volume = runtime->volumes().create({.name = "data"});
///     BoxSpec spec{.source = "host:", .command = {"sh"}};
///     spec.mounts.push_back({.type = MountType::kVolume, .source = "data", .target = "/data"});
class Volumes {
 public:
  class Impl;
  explicit Volumes(std::shared_ptr<const Impl> impl);

  /// `volume_exists`, `name_invalid`, `label_invalid`, `limit_invalid`, `volume_size_unsupported`;
  /// then nothing was made.
  Result<VolumeInfo> create(const VolumeSpec& spec);
  /// By name.
  Result<std::vector<VolumeInfo>> list();
  /// `volume_not_found`.
  Result<VolumeInfo> find(std::string_view name);
  /// With all that is in it. `volume_not_found`; `volume_in_use` while there is a box that uses it.
  Result<> remove(std::string_view name);
  /// Removes those that no box uses and that were made longer than `age` ago; returns their names.
  Result<std::vector<std::string>> prune(std::chrono::nanoseconds age = {});

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace caisson
