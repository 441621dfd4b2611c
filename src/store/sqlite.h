// Database and Statement: SQLite with Results. The only place that speaks its C interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace caisson::store {

/// A prepared statement, borrowed from its Database's cache. Reset when it goes out of scope.
class Statement final {
 public:
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement(Statement&& other) noexcept;
  ~Statement();

  /// Binds the next parameter. Texts are borrowed until the statement goes out of scope.
  Statement& bind(std::string_view text);
  Statement& bind(std::int64_t number);
  Statement& bind_null();
  template <class T>
  Statement& bind(const std::optional<T>& value) {
    if (!value) return bind_null();
    return bind(*value);
  }

  /// True: a row can be read. False: done.
  Result<bool> step();
  /// Runs to the end and drops the rows.
  Result<> run();

  std::string text(int column) const;
  std::int64_t number(int column) const;
  std::optional<std::int64_t> optional_number(int column) const;

 private:
  friend class Database;
  Statement(sqlite3_stmt* statement, const std::string& path);
  Statement& bound(int code);

  sqlite3_stmt* statement_;
  const std::string* path_;
  int parameters_ = 0;
  int bind_error_ = 0;
};

/// One connection. Not thread-safe, and not to be used across fork(2).
class Database final {
 public:
  /// Opens an existing file (it may be empty) for reading and writing.
  static Result<Database> open(const std::string& path);

  Result<Statement> prepare(const std::string& sql);
  /// Runs a script of several statements, each once.
  Result<> execute(const char* script);
  /// Rows changed by the last INSERT, UPDATE or DELETE.
  int changes() const;
  const std::string& path() const { return place_->path; }

  /// Moves the write-ahead log into the database file and empties it, if the last commit of this
  /// connection left it longer than a few dozen pages; true if it did. Costs two fsyncs
  /// (milliseconds).
  Result<bool> tidy();

 private:
  struct CloseStatement {
    void operator()(sqlite3_stmt* statement) const;
  };
  struct CloseDatabase {
    void operator()(sqlite3* handle) const;
  };
  /// On the heap: statements and SQLite's hook point to it when the Database moves.
  struct Place {
    std::string path;
    int wal_pages = 0;  // after our last commit
  };
  static int after_commit(void* place, sqlite3* handle, const char* name, int pages);

  explicit Database(std::string path) : place_(new Place{std::move(path)}) {}

  std::unique_ptr<Place> place_;
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
  // After handle_, so that the statements are gone before the connection.
  std::unordered_map<std::string, std::unique_ptr<sqlite3_stmt, CloseStatement>> statements_;
};

/// A transaction that will write: it has SQLite's only write lock from its beginning, so what it
/// reads stays true. Rolled back unless committed.
class Transaction final {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace caisson::store
