// Snapshots of boxes, and what distinguishes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "caisson/result.h"

namespace caisson {

/// The files of a box as they were at one moment. Mounts (volumes, tmpfs, the /tmp of `host:`
/// boxes) are no part of it, nor is what processes had in memory, unless it was asked for
/// (microVMs).
struct SnapshotInfo {
  std::string id;      ///< a lower-case ULID
  std::string box_id;  ///< whose it is; it goes with the box
  std::string name;    ///< unique among those of the box
  std::string note;
  std::int64_t created_ns = 0;  ///< since the Unix epoch
  std::uint64_t bytes = 0;      ///< on disk, of all layers beside the image's; shared with other
                                ///< snapshots, forks and the box itself
  friend bool operator==(const SnapshotInfo&, const SnapshotInfo&) = default;
};
std::string to_json(const SnapshotInfo& info);

struct ForkOptions {
  unsigned count = 1;    ///< 1 to 1,000
  std::string snapshot;  ///< fork from this snapshot of the box instead of what it is now
};

enum class ChangeKind : char { kAdded = 'A', kChanged = 'C', kDeleted = 'D' };

/// One difference, as docker diff has them. A directory is changed when its own attributes are; of
/// a deleted tree only the top is named, of an added one everything.
struct Change {
  ChangeKind kind = ChangeKind::kChanged;
  std::string path;  ///< absolute, as in the box
  friend bool operator==(const Change&, const Change&) = default;
};

}  // namespace caisson
