#include "store/volumes.h"

#include <algorithm>

#include "base/format.h"

namespace caisson::store {
namespace {

constexpr const char* kSelect =
    "SELECT name, id, created_ns, labels_json, size_bytes, box FROM volumes"
    " LEFT JOIN volume_users ON volume = name ";

Error exists(std::string_view name) {
  return make_error(Code::kAlreadyExists, "volume_exists",
                    format("create volume '{}': there is one of this name", name),
                    format("caisson volume inspect {}", name));
}

/// False when there is one of this name.
Result<bool> add(Database& database, const VolumeRow& row) {
  Statement s = TRY(database.prepare("INSERT OR IGNORE INTO volumes VALUES (?,?,?,?,?)"));
  s.bind(row.name).bind(row.id).bind(row.created_ns).bind(row.labels_json);
  row.size_bytes ? s.bind(static_cast<std::int64_t>(*row.size_bytes)) : s.bind_null();
  TRY(s.run());
  return database.changes() > 0;
}

Error in_use(const VolumeRow& row) {
  constexpr std::size_t kShown = 3;
  std::string boxes;
  for (std::size_t i = 0; i < row.users.size() && i < kShown; ++i)
    boxes += format("{}'{}'", i == 0 ? "" : ", ", row.users[i]);
  if (row.users.size() > kShown) boxes += format(" and {} more", row.users.size() - kShown);
  return make_error(
      Code::kFailedPrecondition, "volume_in_use",
      format("remove volume '{}': {} {} it", row.name, row.users.size() == 1 ? "box" : "boxes",
             row.users.size() == 1 ? boxes + " uses" : boxes + " use"),
      "remove these boxes first, also those that do not run");
}

}  // namespace

Result<> State::use_volumes(const BoxRow& row, const BoxVolumes& volumes) {
  for (const VolumeRow& volume : volumes.rows) {
    const bool made = TRY(add(database_, volume));
    if (!made && volumes.only_new) return exists(volume.name);
    Statement s = TRY(database_.prepare("INSERT INTO volume_users VALUES (?,?)"));
    TRY(s.bind(volume.name).bind(row.id).run());
  }
  return {};
}

Result<std::vector<VolumeRow>> VolumeState::read(Statement& statement) {
  std::vector<VolumeRow> rows;
  while (TRY(statement.step())) {
    if (rows.empty() || rows.back().name != statement.text(0)) {
      VolumeRow row{
          statement.text(0), statement.text(1), statement.number(2), statement.text(3), {}, {}};
      if (const auto size = statement.optional_number(4))
        row.size_bytes = static_cast<std::uint64_t>(*size);
      rows.push_back(std::move(row));
    }
    if (std::string box = statement.text(5); !box.empty())
      rows.back().users.push_back(std::move(box));
  }
  return rows;
}

Result<> VolumeState::insert(const VolumeRow& row) {
  std::lock_guard lock(*state_->mutex_);
  if (!TRY(add(database(), row))) return exists(row.name);
  return {};
}

Result<std::optional<VolumeRow>> VolumeState::find(std::string_view name) {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare(std::string(kSelect) + "WHERE name = ?1 ORDER BY box"));
  std::vector<VolumeRow> rows = TRY(read(s.bind(name)));
  if (rows.empty()) return std::optional<VolumeRow>();
  return std::optional<VolumeRow>(std::move(rows.front()));
}

Result<std::vector<VolumeRow>> VolumeState::list() {
  std::lock_guard lock(*state_->mutex_);
  Statement s = TRY(database().prepare(std::string(kSelect) + "ORDER BY name, box"));
  return read(s);
}

Result<> VolumeState::remove(std::string_view name) {
  std::lock_guard lock(*state_->mutex_);
  Transaction transaction = TRY(Transaction::begin(database()));
  {
    Statement s = TRY(database().prepare(std::string(kSelect) + "WHERE name = ?1 ORDER BY box"));
    const std::vector<VolumeRow> rows = TRY(read(s.bind(name)));
    if (rows.empty())
      return make_error(Code::kNotFound, "volume_not_found",
                        format("remove volume '{}': there is none", name),
                        "list them with: caisson volume ls");
    if (!rows.front().users.empty()) return in_use(rows.front());
  }
  {
    Statement s = TRY(database().prepare("DELETE FROM volumes WHERE name = ?1"));
    TRY(s.bind(name).run());
  }
  return transaction.commit();
}

Result<std::vector<std::string>> VolumeState::remove_unused(std::int64_t before_ns) {
  std::lock_guard lock(*state_->mutex_);
  std::vector<std::string> names;
  Statement s = TRY(database().prepare(
      "DELETE FROM volumes WHERE created_ns <= ?1 AND NOT EXISTS (SELECT 1 FROM volume_users"
      " WHERE volume = name) RETURNING name"));
  s.bind(before_ns);
  while (TRY(s.step())) names.push_back(s.text(0));
  std::ranges::sort(names);
  return names;
}

}  // namespace caisson::store
