// SnapshotState: what boxes and snapshots are made of beside their images: layers that boxes wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/state.h"

namespace caisson::store {

/// A tree that a box wrote: `layers/<id>/` in the home.
struct BoxLayer {
  std::string id;           ///< a ULID
  bool whole = false;       ///< a complete root: what is below it does not show
  std::uint64_t bytes = 0;  ///< on disk
  friend bool operator==(const BoxLayer&, const BoxLayer&) = default;
};

struct SnapshotRow {
  std::string id;  ///< a ULID
  std::string box;
  std::string name;  ///< unique among those of the box
  std::string note;
  std::int64_t created_ns = 0;
  std::vector<BoxLayer> layers;  ///< topmost first
  friend bool operator==(const SnapshotRow&, const SnapshotRow&) = default;
};

/// A part of a State, on the same database and under the same rules.
class SnapshotState final {
 public:
  /// `layers`: the directory with the trees. No row names a layer that is not there
  /// (`layer_vanished`): whoever removes one looks at the rows with the right to write in hand.
  SnapshotState(State& state, std::string layers) : state_(&state), directory_(std::move(layers)) {}

  /// Of a box or a snapshot, topmost first.
  Result<std::vector<BoxLayer>> layers(std::string_view owner);
  /// Of a box and all its snapshots, in no order.
  Result<std::vector<BoxLayer>> all_layers(std::string_view box);
  /// Gives a box other layers and, in the same transaction, the next writable one's name. False
  /// when the box is gone.
  Result<bool> set_layers(std::string_view box, const std::vector<BoxLayer>& layers,
                          std::string_view generation);

  /// `snapshot_exists` when the box has one of this name; `box_not_found`.
  Result<> insert(const SnapshotRow& row);
  /// By name or id.
  Result<std::optional<SnapshotRow>> find(std::string_view box, std::string_view name);
  /// Another box's snapshot of this id, if there is one: its box.
  Result<std::optional<std::string>> box_of(std::string_view id);
  /// Oldest first.
  Result<std::vector<SnapshotRow>> list(std::string_view box);
  Result<bool> erase(std::string_view id);

  /// Boxes that begin with these layers, all or none. Errors as of State::insert.
  Result<> insert_boxes(const std::vector<BoxRow>& rows, const std::vector<BoxLayer>& layers,
                        const BoxVolumes& volumes = {});

 private:
  Database& database() { return state_->database_; }
  Result<std::vector<BoxLayer>> layers_of(std::string_view owner);
  Result<> put_layers(std::string_view owner, const std::vector<BoxLayer>& layers);
  Result<std::vector<SnapshotRow>> read(Statement& statement);

  State* state_;
  std::string directory_;
};

}  // namespace caisson::store
