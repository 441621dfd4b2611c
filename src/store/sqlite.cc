#include "store/sqlite.h"

#include <sqlite3.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/clock.h"
#include "base/format.h"

namespace caisson::store {
namespace {

constexpr std::int64_t kBusyLimitNs = 10'000'000'000;
constexpr int kTidyPages = 64;
constexpr int kMostWalPages = 1000;  // SQLite's own default

/// Maps SQLite's (extended) result codes. `handle` may be null.
Error sqlite_error(int code, sqlite3* handle, std::string_view action, const std::string& path) {
  const int sys = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  const auto message = [&](std::string_view cause) {
    return format("{} '{}': {}", action, path, cause);
  };
  const char* const own = sqlite3_errstr(code);
  Error error;
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: {
      const std::string folder = std::filesystem::path(path).parent_path().string();
      error =
          make_error(Code::kDataLoss, "state_corrupt", message(own),
                     format("move the damaged state away with: mv '{0}' '{0}.damaged'", folder));
      break;
    }
    case SQLITE_FULL:
      error = make_error(Code::kResourceExhausted, "disk_full", message(errno_text(ENOSPC)));
      break;
    case SQLITE_READONLY:
      error = make_error(Code::kPermissionDenied, "state_read_only", message(own));
      break;
    case SQLITE_CANTOPEN: {
      const bool denied = sys == EACCES || sys == EPERM || sys == EROFS;
      error = make_error(denied ? Code::kPermissionDenied : Code::kUnavailable,
                         denied ? "state_read_only" : "state_unavailable",
                         message(sys != 0 ? errno_text(sys) : std::string(own)));
      break;
    }
    case SQLITE_BUSY:
      error = make_error(Code::kUnavailable, "state_unavailable",
                         message("locked by another process for more than 10 s"));
      break;
    case SQLITE_IOERR: {
      const bool full = sys == ENOSPC || sys == EDQUOT;
      error = make_error(full ? Code::kResourceExhausted : Code::kUnavailable,
                         full ? "disk_full" : "state_unavailable",
                         message(sys != 0 ? errno_text(sys) : std::string(own)));
      break;
    }
    default:
      error = make_error(Code::kUnavailable, "state_unavailable",
                         message(handle != nullptr ? sqlite3_errmsg(handle) : own));
  }
  error.sys_errno = sys;
  return error;
}

/// SQLite's own handler sleeps whole milliseconds from the start; a write here takes 50 µs.
int wait_while_busy(void*, int tries) {
  // Each try sleeps 100 µs more than the one before, up to 5 ms: the sum bounds the waiting.
  const std::int64_t step = std::min<std::int64_t>((tries + 1) * 100'000LL, 5'000'000);
  const std::int64_t ramp = std::min(tries, 50);
  const std::int64_t waited = ramp * (ramp + 1) / 2 * 100'000 + (tries - ramp) * 5'000'000LL;
  if (waited > kBusyLimitNs) return 0;
  const timespec pause{0, static_cast<long>(step)};
  ::nanosleep(&pause, nullptr);
  return 1;
}

/// Closing must cost nothing: the write-ahead log stays, the next checkpoint empties it.
int configure(sqlite3* handle) {
  int on = 1;
  sqlite3_busy_handler(handle, wait_while_busy, nullptr);
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

}  // namespace

Statement::Statement(sqlite3_stmt* statement, const std::string& path)
    : statement_(statement), path_(&path) {}

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)),
      path_(other.path_),
      parameters_(other.parameters_),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::bound(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL; an empty view may have one.
  const char* const data = text.data() != nullptr ? text.data() : "";
  return bound(sqlite3_bind_text64(statement_, ++parameters_, data, text.size(), SQLITE_STATIC,
                                   SQLITE_UTF8));
}

Statement& Statement::bind(std::int64_t number) {
  return bound(sqlite3_bind_int64(statement_, ++parameters_, number));
}

Statement& Statement::bind_null() { return bound(sqlite3_bind_null(statement_, ++parameters_)); }

Result<bool> Statement::step() {
  const int code = bind_error_ != SQLITE_OK ? bind_error_ : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3* const handle = sqlite3_db_handle(statement_);
  if ((code & 0xff) == SQLITE_CONSTRAINT)
    return make_error(Code::kAlreadyExists, "state_constraint",
                      format("write state '{}': {}", *path_, sqlite3_errmsg(handle)));
  const bool reads = sqlite3_stmt_readonly(statement_) != 0;
  return sqlite_error(code, handle, reads ? "read state" : "write state", *path_);
}

Result<> Statement::run() {
  while (TRY(step())) continue;
  return {};
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::optional<std::int64_t> Statement::optional_number(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return number(column);
}

void Database::CloseStatement::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void Database::CloseDatabase::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

Result<Database> Database::open(const std::string& path) {
  Database database(path);
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  database.handle_.reset(handle);  // SQLite gives a handle also on failure
  if (code == SQLITE_OK) code = configure(handle);
  if (code == SQLITE_OK) sqlite3_wal_hook(handle, after_commit, database.place_.get());
  if (code != SQLITE_OK) return sqlite_error(code, handle, "open state", path);
  return database;
}

Result<Statement> Database::prepare(const std::string& sql) {
  auto& slot = statements_[sql];
  if (!slot) {
    sqlite3_stmt* statement = nullptr;
    const int code =
        sqlite3_prepare_v3(handle_.get(), sql.c_str(), static_cast<int>(sql.size() + 1),
                           SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) {
      Error error = sqlite_error(code, handle_.get(), "read state", place_->path);
      statements_.erase(sql);
      return error;
    }
    slot.reset(statement);
  }
  return Statement(slot.get(), place_->path);
}

Result<> Database::execute(const char* script) {
  const int code = sqlite3_exec(handle_.get(), script, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(code, handle_.get(), "write state", place_->path);
  return {};
}

// Takes the place of SQLite's automatic checkpoint, which is such a hook too.
int Database::after_commit(void* place, sqlite3* handle, const char* name, int pages) {
  static_cast<Place*>(place)->wal_pages = pages;
  if (pages < kMostWalPages) return SQLITE_OK;
  sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  return SQLITE_OK;  // the commit holds whether or not there was room to tidy up
}

// The first process to open the database after the last one left must read the whole log (1.8 µs a
// page), because its index died with them. Only truncating makes that short: what a passive
// checkpoint has moved is forgotten with the index.
Result<bool> Database::tidy() {
  if (place_->wal_pages < kTidyPages) return false;
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE,
                                             nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY) return false;  // a long reader: the next one tidies
  if (code == SQLITE_OK) {
    place_->wal_pages = 0;
    return true;
  }
  return sqlite_error(code, handle_.get(), "tidy state", place_->path);
}

Result<Transaction> Transaction::begin(Database& database) {
  TRY(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  [[maybe_unused]] const Result<> undone = database_->execute("ROLLBACK");
}

Result<> Transaction::commit() {
  TRY(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

int Database::changes() const { return sqlite3_changes(handle_.get()); }

}  // namespace caisson::store
