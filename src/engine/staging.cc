// The directories that a pull writes to.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope_exit.h"
#include "base/ulid.h"
#include "engine/box_impl.h"
#include "engine/fetch.h"

namespace caisson::engine {
namespace {

/// Whom caisson-fetch of root becomes.
constexpr unsigned kNobody = 65534;

/// The modes hold under any umask.
Result<> make_directory(const std::string& path, unsigned mode, bool of_nobody = false) {
  if (::mkdir(path.c_str(), mode) < 0) {
    if (errno == EEXIST) return {};
    return sys_error("create directory", path);
  }
  if (::chmod(path.c_str(), mode) < 0) return sys_error("set mode of", path);
  if (of_nobody && ::geteuid() == 0 && ::chown(path.c_str(), kNobody, kNobody) < 0)
    return sys_error("set owner of", path);
  return {};
}

/// True when the directory behind `lock` is still the one at `path`.
bool is_still(const Fd& lock, const std::string& path) {
  struct stat held{}, named{};
  return ::fstat(lock.get(), &held) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

}  // namespace

Result<FetchDirectories> open_fetch_directories(const Runtime::Impl& runtime) {
  const std::string last = runtime.path("fetch/trash");
  if (::access(last.c_str(), F_OK) != 0) {
    TRY(make_directory(runtime.path("blobs"), 0755));
    TRY(make_directory(runtime.path("blobs/sha256"), 0755));
    TRY(make_directory(runtime.path("layers"), 0755));
    TRY(make_directory(runtime.path("fetch"), 0711));
    TRY(make_directory(runtime.path("fetch/partial"), 0711, true));
    TRY(make_directory(runtime.path("fetch/staging"), 0711));
    spread_children(runtime.path("fetch/staging"));
    TRY(make_directory(last, 0700));
  }
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  FetchDirectories directories;
  directories.fetch = TRY(open_fd(runtime.path("fetch"), kFlags));
  directories.blobs = TRY(open_fd(runtime.path("blobs/sha256"), kFlags));
  directories.layers = TRY(open_fd(runtime.path("layers"), kFlags));
  return directories;
}

Result<Staging> Staging::make(const Runtime::Impl& runtime) {
  const std::string above = runtime.path("fetch/staging");
  for (;;) {
    std::string id = TRY(make_ulid());
    const std::string path = above + "/" + id;
    // Who clears up may take it before it is locked.
    const Result<> made = make_directory(path, 0711);
    if (!made && made.error().sys_errno == ENOENT && ::access(above.c_str(), F_OK) == 0) continue;
    TRY(made);
    Result<Fd> lock = open_fd(path, O_RDONLY | O_DIRECTORY);
    if (!lock && lock.error().sys_errno == ENOENT) continue;
    if (!lock) return lock.error();
    if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0 || !is_still(*lock, path)) continue;
    return Staging(runtime, std::move(id), std::move(*lock));
  }
}

Staging::~Staging() {
  if (!lock_) return;
  // What fails here is cleared by the next pull.
  [[maybe_unused]] const Result<> removed =
      remove_tree_of(*runtime_, runtime_->path("fetch/staging"), id_);
}

Result<> clear_staging(const Runtime::Impl& runtime) {
  const std::string directory = runtime.path("fetch/staging");
  DIR* dir = ::opendir(directory.c_str());
  if (dir == nullptr) return errno == ENOENT ? Result<>() : sys_error("read directory", directory);
  const ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (!is_ulid(entry->d_name)) continue;
    const std::string name = entry->d_name;
    const Result<Fd> lock = open_fd(directory + "/" + name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) continue;
    // A machine may have been in it.
    [[maybe_unused]] const Result<> cleared = clear_remains(runtime, name);
    TRY(remove_tree_of(runtime, directory, name));
  }
  return {};
}

}  // namespace caisson::engine
