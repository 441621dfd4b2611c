#include "store/state.h"

#include "base/clock.h"
#include "base/format.h"
#include "store/schema.h"

namespace caisson::store {
namespace {

#define CAISSON_BOX_COLUMNS                                                              \
  "id, name, state, created_ns, started_ns, finished_ns, shim_pid, init_pid, boot_id, "  \
  "auto_remove, error_reason, exit_json, stages_json, warnings_json, spec_json, image, " \
  "rootfs_json, generation"

constexpr const char* kSelect = "SELECT " CAISSON_BOX_COLUMNS " FROM boxes ";

std::optional<int> as_int(std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  return static_cast<int>(*number);
}

BoxRow read_row(const Statement& s) {
  BoxRow row;
  row.id = s.text(0);
  row.name = s.text(1);
  row.state = s.text(2);
  row.created_ns = s.number(3);
  row.started_ns = s.optional_number(4);
  row.finished_ns = s.optional_number(5);
  row.shim_pid = as_int(s.optional_number(6));
  row.init_pid = as_int(s.optional_number(7));
  row.boot_id = s.text(8);
  row.auto_remove = s.number(9) != 0;
  row.error_reason = s.text(10);
  row.exit_json = s.text(11);
  row.stages_json = s.text(12);
  row.warnings_json = s.text(13);
  row.spec_json = s.text(14);
  row.image = s.text(15);
  row.rootfs_json = s.text(16);
  row.generation = s.text(17);
  return row;
}

Result<std::vector<BoxRow>> read_rows(Statement& statement) {
  std::vector<BoxRow> rows;
  while (TRY(statement.step())) rows.push_back(read_row(statement));
  return rows;
}

Result<std::optional<BoxRow>> find_row(Database& database, std::string_view where,
                                       std::string_view value) {
  Statement statement = TRY(database.prepare(format("{}WHERE {} = ?1", kSelect, where)));
  if (!TRY(statement.bind(value).step())) return std::optional<BoxRow>();
  return std::optional<BoxRow>(read_row(statement));
}

std::string placeholders(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += i == 0 ? "?" : ",?";
  return text;
}

/// The error of an INSERT that a constraint refused.
Error clash(Database& database, const BoxRow& row, Error error) {
  if (error.reason != "state_constraint") return error;
  if (!row.name.empty()) {
    auto other = find_row(database, "name", row.name);
    if (other && *other && (*other)->id != row.id)
      return make_error(
          Code::kAlreadyExists, "name_taken",
          format("create box '{}': the name is taken by box '{}'", row.name, (*other)->id),
          format("remove it with: caisson rm {}", row.name));
  }
  return make_error(Code::kAlreadyExists, "box_exists",
                    format("create box '{}': the id is taken", row.id));
}

Error ambiguous(std::string_view prefix, const std::vector<BoxRow>& rows) {
  std::string names;
  for (std::size_t i = 0; i < rows.size() && i < 3; ++i)
    names += format("{}{}", i == 0 ? "" : ", ", rows[i].id);
  if (rows.size() > 3) names += ", …";
  return make_error(Code::kInvalidArgument, "box_ambiguous",
                    format("find box '{}': several ids begin so: {}", prefix, names),
                    "give more of the id, or the name");
}

// A run's columns: the new value, else NULL or '' when the run is cleared (?2), else unchanged.
constexpr const char* kTransition =
    "UPDATE boxes SET state=?1,"
    " started_ns=CASE WHEN ?2 OR ?3 NOT NULL THEN ?3 ELSE started_ns END,"
    " finished_ns=CASE WHEN ?2 OR ?4 NOT NULL THEN ?4 ELSE finished_ns END,"
    " shim_pid=CASE WHEN ?2 OR ?5 NOT NULL THEN ?5 ELSE shim_pid END,"
    " init_pid=CASE WHEN ?2 OR ?6 NOT NULL THEN ?6 ELSE init_pid END,"
    " error_reason=coalesce(?7, CASE WHEN ?2 THEN '' ELSE error_reason END),"
    " exit_json=coalesce(?8, CASE WHEN ?2 THEN '' ELSE exit_json END),"
    " boot_id=coalesce(?9, boot_id), stages_json=coalesce(?10, stages_json),"
    " warnings_json=coalesce(?11, warnings_json) WHERE id=?12 AND state IN ";

}  // namespace

Result<State> State::open(const std::string& home) { return State(TRY(open_state(home))); }

Result<> State::insert(const BoxRow& row, const BoxVolumes& volumes) {
  std::lock_guard lock(*mutex_);
  if (row.image.empty() && volumes.rows.empty()) return insert_row(row);
  // One transaction, so that nobody removes the image or a volume in between.
  Transaction transaction = TRY(Transaction::begin(database_));
  TRY(use_image(row));
  TRY(insert_row(row));
  TRY(use_volumes(row, volumes));
  return transaction.commit();
}

Result<> State::use_image(const BoxRow& row) {
  if (row.image.empty()) return {};
  Statement s = TRY(database_.prepare("UPDATE images SET used_ns = ?2 WHERE id = ?1"));
  TRY(s.bind(row.image).bind(row.created_ns).run());
  if (database_.changes() > 0) return {};
  return make_error(Code::kNotFound, "image_not_found",
                    format("create box: image '{}' has just been removed", row.image));
}

Result<> State::insert_row(const BoxRow& row) {
  Result<> inserted;
  {
    Statement s = TRY(database_.prepare("INSERT INTO boxes (" CAISSON_BOX_COLUMNS
                                        ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    s.bind(row.id);
    row.name.empty() ? s.bind_null() : s.bind(row.name);
    s.bind(row.state).bind(row.created_ns).bind(row.started_ns).bind(row.finished_ns);
    s.bind(row.shim_pid).bind(row.init_pid).bind(row.boot_id);
    s.bind(std::int64_t{row.auto_remove}).bind(row.error_reason).bind(row.exit_json);
    s.bind(row.stages_json).bind(row.warnings_json).bind(row.spec_json);
    s.bind(row.image).bind(row.rootfs_json).bind(row.generation);
    inserted = s.run();
  }
  if (!inserted) return clash(database_, row, std::move(inserted).error());
  return {};
}

Result<std::optional<BoxRow>> State::find(std::string_view id) {
  std::lock_guard lock(*mutex_);
  return find_row(database_, "id", id);
}

Result<BoxRow> State::resolve(std::string_view id_or_name) {
  std::lock_guard lock(*mutex_);
  for (const char* column : {"id", "name"})
    if (auto row = TRY(find_row(database_, column, id_or_name))) return std::move(*row);
  std::vector<BoxRow> rows;
  if (!id_or_name.empty()) {
    // The greatest code point ends the range: an index finds it, LIKE would not use one.
    const std::string end = std::string(id_or_name) + "\xf4\x8f\xbf\xbf";
    Statement s = TRY(
        database_.prepare(std::string(kSelect) + "WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 4"));
    rows = TRY(read_rows(s.bind(id_or_name).bind(std::string_view(end))));
  }
  if (rows.size() == 1) return std::move(rows.front());
  if (!rows.empty()) return ambiguous(id_or_name, rows);
  return make_error(Code::kNotFound, "box_not_found",
                    format("find box '{}': no box has this id or name", id_or_name),
                    "list all boxes with: caisson ps --all");
}

Result<std::vector<BoxRow>> State::list() {
  std::lock_guard lock(*mutex_);
  Statement s = TRY(database_.prepare(std::string(kSelect) + "ORDER BY created_ns DESC, id DESC"));
  return read_rows(s);
}

Result<std::vector<BoxRow>> State::live() {
  std::lock_guard lock(*mutex_);
  // To the letter the condition of the index boxes_live, or SQLite would not use it.
  Statement s =
      TRY(database_.prepare(std::string(kSelect) +
                            "WHERE state IN ('starting', 'running', 'paused', 'stopping') "
                            "ORDER BY created_ns DESC, id DESC"));
  return read_rows(s);
}

Result<bool> State::transition(std::string_view id, const std::vector<std::string>& from,
                               const BoxUpdate& update) {
  std::lock_guard lock(*mutex_);
  // One text for all transitions, so that it is compiled once; a parameter left alone is NULL.
  constexpr std::size_t kMostStates = 8;
  Statement s = TRY(database_.prepare(format("{}({})", kTransition, placeholders(kMostStates))));
  s.bind(update.state).bind(std::int64_t{update.clear_run});
  s.bind(update.started_ns).bind(update.finished_ns);
  s.bind(update.shim_pid).bind(update.init_pid);
  s.bind(update.error_reason).bind(update.exit_json).bind(update.boot_id);
  s.bind(update.stages_json).bind(update.warnings_json).bind(id);
  for (const std::string& state : from) s.bind(state);
  TRY(s.run());
  return database_.changes() > 0;
}

Result<bool> State::erase(std::string_view id) {
  std::lock_guard lock(*mutex_);
  Statement s = TRY(database_.prepare("DELETE FROM boxes WHERE id = ?1"));
  TRY(s.bind(id).run());
  return database_.changes() > 0;
}

Result<std::optional<std::string>> State::meta(std::string_view key) {
  std::lock_guard lock(*mutex_);
  Statement s = TRY(database_.prepare("SELECT value FROM meta WHERE key = ?1"));
  if (!TRY(s.bind(key).step())) return std::optional<std::string>();
  return std::optional<std::string>(s.text(0));
}

Result<> State::write_meta(std::string_view key, std::string_view value) {
  Statement s = TRY(database_.prepare(
      "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2"));
  return s.bind(key).bind(value).run();
}

Result<> State::set_meta(std::string_view key, std::string_view value) {
  std::lock_guard lock(*mutex_);
  return write_meta(key, value);
}

// The first commit after truncating syncs the log's new header (0.6 ms); this commit spares the
// next process that.
Result<> State::tidy() {
  std::lock_guard lock(*mutex_);
  if (!TRY(database_.tidy())) return {};
  return write_meta("tidied_ns", format("{}", wall_ns()));
}

}  // namespace caisson::store
