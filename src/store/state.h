// State: the record of every box, shared by all processes that use one home directory.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/sqlite.h"

namespace caisson::store {

/// One box. Empty texts are "nothing yet"; the JSON columns are not looked into here.
struct BoxRow {
  std::string id;
  std::string name;  ///< empty: it has none
  std::string state;
  std::string spec_json;
  std::int64_t created_ns = 0;  ///< since the Unix epoch, like all times here
  std::optional<std::int64_t> started_ns;
  std::optional<std::int64_t> finished_ns;
  std::string error_reason;
  std::string exit_json;
  std::optional<int> shim_pid;
  std::optional<int> init_pid;
  std::string boot_id;  ///< of the last start: only in that boot are the process ids valid
  std::string stages_json;
  std::string warnings_json;
  bool auto_remove = false;
  std::string image;  ///< digest of its image's manifest; the image stays while the row is there
  std::string rootfs_json;  ///< of an image: what its root is made of
  std::string generation;   ///< of its writable layer, a ULID; empty: the first
  friend bool operator==(const BoxRow&, const BoxRow&) = default;
};

/// What a transition writes besides the state. Absent = unchanged.
struct BoxUpdate {
  std::string state;
  /// First clear what belongs to one run: both times, both process ids, error_reason, exit_json.
  bool clear_run = false;
  std::optional<std::int64_t> started_ns;
  std::optional<std::int64_t> finished_ns;
  std::optional<int> shim_pid;
  std::optional<int> init_pid;
  std::optional<std::string> boot_id;
  std::optional<std::string> error_reason;
  std::optional<std::string> exit_json;
  std::optional<std::string> stages_json;
  std::optional<std::string> warnings_json;
};

/// A named volume; its files are in `volumes/<name>.<id>/` of the home.
struct VolumeRow {
  std::string name;
  std::string id;  ///< a ULID: of two volumes that had one name, each has its own directory
  std::int64_t created_ns = 0;
  std::string labels_json;
  std::optional<std::uint64_t> size_bytes;
  std::vector<std::string> users;  ///< ids of boxes, sorted; read only
  friend bool operator==(const VolumeRow&, const VolumeRow&) = default;
};

/// The volumes that a new box uses. Where there is none of a name yet, the row becomes one.
struct BoxVolumes {
  std::vector<VolumeRow> rows;
  bool only_new = false;  ///< `volume_exists` when there is one
};

/// Thread-safe. Each call is one transaction; it waits up to 10 s for other processes. Do not use
/// an object across fork(2).
///
///     State state = TRY(State::open(home));
///     TRY(state.insert({.id = id, .state = "configured", ...}));
///     if (!TRY(state.transition(id, {"configured"}, {.state = "starting"}))) ...someone else did
class State final {
 public:
  /// Makes and migrates `<home>/db/state.db` when needed. Errors: `state_corrupt`, `state_newer`,
  /// `state_read_only`, `state_unavailable`, `disk_full`; these can come from every call.
  static Result<State> open(const std::string& home);

  /// `name_taken` when another box has the name; `image_not_found` when its image has been removed.
  Result<> insert(const BoxRow& row, const BoxVolumes& volumes = {});
  Result<std::optional<BoxRow>> find(std::string_view id);
  /// An id, a name, or the beginning of exactly one id, tried in this order. `box_not_found`,
  /// `box_ambiguous`.
  Result<BoxRow> resolve(std::string_view id_or_name);
  /// Newest first.
  Result<std::vector<BoxRow>> list();
  /// Those that are starting, running, paused or stopping; quick however many others there are.
  Result<std::vector<BoxRow>> live();

  /// Compare and set: writes `update` if the box is in one of `from`; false when it is not, or
  /// is gone.
  Result<bool> transition(std::string_view id, const std::vector<std::string>& from,
                          const BoxUpdate& update);
  /// False when there was no such box.
  Result<bool> erase(std::string_view id);

  Result<std::optional<std::string>> meta(std::string_view key);
  Result<> set_meta(std::string_view key, std::string_view value);

  /// Shortens the write-ahead log when it is long, which makes the next State::open() up to 2 ms
  /// quicker. Takes milliseconds itself: call it where nobody waits, after the last transition.
  Result<> tidy();

 private:
  explicit State(Database database)
      : mutex_(std::make_unique<std::mutex>()), database_(std::move(database)) {}

  friend class ImageState;
  friend class SnapshotState;
  friend class VolumeState;
  Result<> insert_row(const BoxRow& row);
  Result<> use_image(const BoxRow& row);
  Result<> use_volumes(const BoxRow& row, const BoxVolumes& volumes);
  Result<> write_meta(std::string_view key, std::string_view value);

  std::unique_ptr<std::mutex> mutex_;  // on the heap, so that a State can be moved
  Database database_;
};

}  // namespace caisson::store
