#include "store/snapshots.h"

#include <unistd.h>

#include "base/format.h"

namespace caisson::store {
namespace {

constexpr const char* kSelect = "SELECT id, box, name, note, created_ns FROM snapshots ";

Result<std::vector<BoxLayer>> read_layers(Statement& s) {
  std::vector<BoxLayer> layers;
  while (TRY(s.step()))
    layers.push_back({s.text(0), s.number(1) != 0, static_cast<std::uint64_t>(s.number(2))});
  return layers;
}

}  // namespace

Result<std::vector<BoxLayer>> SnapshotState::layers_of(std::string_view owner) {
  Statement s = TRY(database().prepare(
      "SELECT layer, whole, bytes FROM box_layers WHERE owner = ?1 ORDER BY position"));
  return read_layers(s.bind(owner));
}

Result<std::vector<BoxLayer>> SnapshotState::layers(std::string_view owner) {
  std::lock_guard lock(*state_->mutex_);
  return layers_of(owner);
}

Result<> SnapshotState::put_layers(std::string_view owner, const std::vector<BoxLayer>& layers) {
  {
    Statement s = TRY(database().prepare("DELETE FROM box_layers WHERE owner = ?1"));
    TRY(s.bind(owner).run());
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (::access((directory_ + "/" + layers[i].id).c_str(), F_OK) < 0)
      return make_error(
          Code::kAborted, "layer_vanished",
          format("use layer '{}' of a box: somebody has just removed it", layers[i].id),
          "try once more");
    Statement s = TRY(database().prepare("INSERT INTO box_layers VALUES (?,?,?,?,?)"));
    s.bind(owner).bind(static_cast<std::int64_t>(i)).bind(layers[i].id);
    s.bind(std::int64_t{layers[i].whole}).bind(static_cast<std::int64_t>(layers[i].bytes));
    TRY(s.run());
  }
  return {};
}

Result<bool> SnapshotState::set_layers(std::string_view box, const std::vector<BoxLayer>& layers,
                                       std::string_view generation) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  {
    Statement s = TRY(database().prepare("UPDATE boxes SET generation = ?2 WHERE id = ?1"));
    TRY(s.bind(box).bind(generation).run());
  }
  if (database().changes() == 0) return false;
  TRY(put_layers(box, layers));
  TRY(transaction.commit());
  return true;
}

Result<> SnapshotState::insert(const SnapshotRow& row) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  {
    Statement s = TRY(database().prepare("SELECT 1 FROM boxes WHERE id = ?1"));
    if (!TRY(s.bind(row.box).step()))
      return make_error(Code::kNotFound, "box_not_found",
                        format("keep snapshot of box '{}': it is gone", row.box));
  }
  {
    Statement s = TRY(database().prepare("SELECT 1 FROM snapshots WHERE box = ?1 AND name = ?2"));
    if (TRY(s.bind(row.box).bind(row.name).step()))
      return make_error(Code::kAlreadyExists, "snapshot_exists",
                        format("keep snapshot '{}': the box has one of this name", row.name),
                        "remove it with: caisson snapshot rm");
  }
  {
    Statement s = TRY(database().prepare("INSERT INTO snapshots VALUES (?,?,?,?,?)"));
    TRY(s.bind(row.id).bind(row.box).bind(row.name).bind(row.note).bind(row.created_ns).run());
  }
  TRY(put_layers(row.id, row.layers));
  return transaction.commit();
}

Result<std::vector<SnapshotRow>> SnapshotState::read(Statement& statement) {
  std::vector<SnapshotRow> rows;
  while (TRY(statement.step()))
    rows.push_back({.id = statement.text(0),
                    .box = statement.text(1),
                    .name = statement.text(2),
                    .note = statement.text(3),
                    .created_ns = statement.number(4),
                    .layers = {}});
  for (SnapshotRow& row : rows) row.layers = TRY(layers_of(row.id));
  return rows;
}

Result<std::optional<SnapshotRow>> SnapshotState::find(std::string_view box,
                                                       std::string_view name) {
  std::lock_guard lock(*state_->mutex_);
  // A row and its layers at one moment: somebody may be removing it, and a snapshot without layers
  // is another one.
  const Transaction transaction = TRY(Transaction::begin(database()));
  for (const char* column : {"name", "id"}) {
    Statement s = TRY(database().prepare(format("{}WHERE box = ?1 AND {} = ?2", kSelect, column)));
    std::vector<SnapshotRow> rows = TRY(read(s.bind(box).bind(name)));
    if (!rows.empty()) return std::move(rows.front());
  }
  return std::optional<SnapshotRow>();
}

Result<std::optional<std::string>> SnapshotState::box_of(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare("SELECT box FROM snapshots WHERE id = ?1 OR name = ?1"));
  if (!TRY(s.bind(id).step())) return std::optional<std::string>();
  return std::optional<std::string>(s.text(0));
}

Result<std::vector<SnapshotRow>> SnapshotState::list(std::string_view box) {
  std::lock_guard lock(*state_->mutex_);
  const Transaction transaction = TRY(Transaction::begin(database()));
  Statement s = TRY(database().prepare(format("{}WHERE box = ?1 ORDER BY id", kSelect)));
  return read(s.bind(box));
}

Result<bool> SnapshotState::erase(std::string_view id) {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare("DELETE FROM snapshots WHERE id = ?1"));
  TRY(s.bind(id).run());
  return database().changes() > 0;
}

Result<> SnapshotState::insert_boxes(const std::vector<BoxRow>& rows,
                                     const std::vector<BoxLayer>& layers,
                                     const BoxVolumes& volumes) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  for (const BoxRow& row : rows) {
    TRY(state_->use_image(row));
    TRY(state_->insert_row(row));
    TRY(state_->use_volumes(row, volumes));
    TRY(put_layers(row.id, layers));
  }
  return transaction.commit();
}

Result<std::vector<BoxLayer>> SnapshotState::all_layers(std::string_view box) {
  std::lock_guard lock(*state_->mutex_);
  Statement s =
      TRY(database().prepare("SELECT layer, whole, bytes FROM box_layers WHERE owner = ?1 "
                             "OR owner IN (SELECT id FROM snapshots WHERE box = ?1)"));
  return read_layers(s.bind(box));
}

}  // namespace caisson::store
