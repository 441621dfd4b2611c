#include "store/schema.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>

#include "base/fd.h"
#include "base/format.h"

namespace caisson::store {
namespace {

/// One script per version, oldest first. A released script is never edited.
constexpr std::array kMigrations = {
    R"sql(
CREATE TABLE boxes (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT,
  state TEXT NOT NULL,
  created_ns INTEGER NOT NULL,
  started_ns INTEGER,
  finished_ns INTEGER,
  shim_pid INTEGER,
  init_pid INTEGER,
  boot_id TEXT NOT NULL,
  auto_remove INTEGER NOT NULL,
  error_reason TEXT NOT NULL,
  exit_json TEXT NOT NULL,
  stages_json TEXT NOT NULL,
  warnings_json TEXT NOT NULL,
  spec_json TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX boxes_by_name ON boxes (name) WHERE name IS NOT NULL;
CREATE INDEX boxes_live ON boxes (state)
  WHERE state IN ('starting', 'running', 'paused', 'stopping');
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE boxes ADD COLUMN image TEXT NOT NULL DEFAULT '';
ALTER TABLE boxes ADD COLUMN rootfs_json TEXT NOT NULL DEFAULT '';
CREATE INDEX boxes_by_image ON boxes (image) WHERE image <> '';
CREATE TABLE images (
  id TEXT PRIMARY KEY NOT NULL,
  config_digest TEXT NOT NULL,
  os TEXT NOT NULL,
  architecture TEXT NOT NULL,
  variant TEXT NOT NULL,
  created TEXT NOT NULL,
  pulled_ns INTEGER NOT NULL,
  used_ns INTEGER NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX images_by_config ON images (config_digest);
CREATE TABLE image_names (
  name TEXT PRIMARY KEY NOT NULL,
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX image_names_by_image ON image_names (image);
CREATE TABLE image_layers (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  chain_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  diff_id TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_chain ON image_layers (chain_id);
CREATE TABLE image_blobs (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (image, digest)
) WITHOUT ROWID;
CREATE INDEX image_blobs_by_digest ON image_blobs (digest);
CREATE TABLE layers (chain_id TEXT PRIMARY KEY NOT NULL, disk_bytes INTEGER NOT NULL) WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE boxes ADD COLUMN generation TEXT NOT NULL DEFAULT '';
CREATE TABLE box_layers (
  owner TEXT NOT NULL,
  position INTEGER NOT NULL,
  layer TEXT NOT NULL,
  whole INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (owner, position)
) WITHOUT ROWID;
CREATE INDEX box_layers_by_layer ON box_layers (layer);
CREATE TABLE snapshots (
  id TEXT PRIMARY KEY NOT NULL,
  box TEXT NOT NULL,
  name TEXT NOT NULL,
  note TEXT NOT NULL,
  created_ns INTEGER NOT NULL,
  UNIQUE (box, name)
) WITHOUT ROWID;
CREATE TRIGGER box_gone AFTER DELETE ON boxes BEGIN
  DELETE FROM box_layers WHERE owner = OLD.id
    OR owner IN (SELECT id FROM snapshots WHERE box = OLD.id);
  DELETE FROM snapshots WHERE box = OLD.id;
END;
CREATE TRIGGER snapshot_gone AFTER DELETE ON snapshots BEGIN
  DELETE FROM box_layers WHERE owner = OLD.id;
END;
)sql",
    R"sql(
CREATE TABLE volumes (
  name TEXT PRIMARY KEY NOT NULL,
  id TEXT NOT NULL,
  created_ns INTEGER NOT NULL,
  labels_json TEXT NOT NULL,
  size_bytes INTEGER
) WITHOUT ROWID;
CREATE TABLE volume_users (
  volume TEXT NOT NULL,
  box TEXT NOT NULL,
  PRIMARY KEY (volume, box)
) WITHOUT ROWID;
CREATE INDEX volume_users_by_box ON volume_users (box);
CREATE TRIGGER volume_user_gone AFTER DELETE ON boxes BEGIN
  DELETE FROM volume_users WHERE box = OLD.id;
END;
)sql",
};

/// The modes hold under any umask.
Result<> make_private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) < 0) {
    if (errno == EEXIST) return {};
    Error error = sys_error("create directory", path);
    if (error.code == Code::kPermissionDenied) error.reason = "state_read_only";
    return error;
  }
  if (::chmod(path.c_str(), 0700) < 0) return sys_error("set mode of", path);
  return {};
}

// mknod, because closing a descriptor of a database file would drop the locks that another
// connection of this process has on it (fcntl(2), "Record locking").
Result<> make_private_file(const std::string& path) {
  if (::mknod(path.c_str(), S_IFREG | 0600, 0) < 0) {
    if (errno == EEXIST) return {};
    Error error = sys_error("create state", path);
    if (error.code == Code::kPermissionDenied) error.reason = "state_read_only";
    return error;
  }
  if (::chmod(path.c_str(), 0600) < 0) return sys_error("set mode of", path);
  return {};
}

Result<int> read_version(Database& database) {
  Statement statement = TRY(database.prepare("PRAGMA user_version"));
  if (!TRY(statement.step())) return 0;
  return static_cast<int>(statement.number(0));
}

Error too_new(const Database& database, int version) {
  return make_error(Code::kFailedPrecondition, "state_newer",
                    format("open state '{}': its format {} is newer than this program's {}",
                           database.path(), version, schema_version()),
                    "use the newer caisson, or another home (CAISSON_HOME)");
}

/// Under the lock of the directory: another process may have migrated since.
Result<> migrate(Database& database) {
  // Outside of a transaction, as SQLite demands; the mode is a property of the file.
  TRY(database.execute("PRAGMA journal_mode=WAL"));
  int version = TRY(read_version(database));
  if (version > schema_version()) return too_new(database, version);
  if (version == schema_version()) return {};
  std::string script = "BEGIN IMMEDIATE;\n";
  for (; version < schema_version(); ++version)
    script += kMigrations[static_cast<std::size_t>(version)];
  script += format("PRAGMA user_version={};\nCOMMIT;\n", version);
  return database.execute(script.c_str());
}

Result<Fd> lock_directory(const std::string& path) {
  Fd directory = TRY(open_fd(path, O_RDONLY | O_DIRECTORY));
  while (::flock(directory.get(), LOCK_EX) < 0)
    if (errno != EINTR) return sys_error("lock", path);
  return directory;
}

/// Many processes may find a home without state at once: one makes it, and the others wait. They
/// open it only then, because a connection from before could have seen half of the making.
Result<Database> migrated(const std::string& home, const std::string& folder,
                          const std::string& path) {
  TRY(make_private_directory(home));
  TRY(make_private_directory(folder));
  Fd lock = TRY(lock_directory(folder));
  TRY(make_private_file(path));
  Database database = TRY(Database::open(path));
  TRY(migrate(database));
  return database;
}

}  // namespace

int schema_version() { return static_cast<int>(kMigrations.size()); }

Result<Database> open_state(const std::string& home) {
  const std::string folder = home + "/db";
  const std::string path = folder + "/state.db";
  auto opened = Database::open(path);
  const int version = opened ? TRY(read_version(*opened)) : 0;
  if (version > schema_version()) return too_new(*opened, version);
  if (version < schema_version()) opened = migrated(home, folder, path);
  Database database = TRY(std::move(opened));
  TRY(database.execute("PRAGMA synchronous=NORMAL"));
  return database;
}

}  // namespace caisson::store
