// Removing what no image names. See docs/formats/images.md, "Publishing and removing".
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/ulid.h"
#include "engine/images_impl.h"
#include "engine/layers.h"

namespace caisson::engine {
namespace {

Result<> for_each_entry(const std::string& path,
                        const std::function<Result<>(const std::string& name)>& visit) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return errno == ENOENT ? Result<>() : sys_error("read directory", path);
  const ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    TRY(visit(entry->d_name));
  }
  return {};
}

std::uint64_t blocks_of(const struct stat& info) {
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

/// One folder of things that are named by digests.
struct Folder {
  std::string path;    ///< below the home
  std::string suffix;  ///< of each name
  const std::set<std::string>& named;
};

class Sweeper final {
 public:
  Sweeper(const Runtime::Impl& runtime, const Collection& what, std::string trash)
      : runtime_(runtime), what_(what), trash_(std::move(trash)), now_(wall_ns()) {}

  Result<> sweep(const store::Referenced& referenced) {
    for (const Folder& folder :
         {Folder{"blobs/sha256", "", referenced.blobs}, Folder{"layers", "", referenced.chains},
          Folder{"disks", ".ext4", referenced.images}}) {
      const std::string path = runtime_.path(folder.path);
      TRY(for_each_entry(path, [&](const std::string& name) -> Result<> {
        return look(folder, path, name, referenced);
      }));
    }
    return {};
  }
  std::uint64_t freed() const { return freed_; }

 private:
  Result<> look(const Folder& folder, const std::string& path, const std::string& name,
                const store::Referenced& referenced) {
    const std::string digest = "sha256:" + name.substr(0, name.size() - folder.suffix.size());
    if (name.ends_with(folder.suffix) && folder.named.contains(digest)) return {};
    struct stat info{};
    const std::string file = path + "/" + name;
    if (::lstat(file.c_str(), &info) < 0) return {};
    // The change time, because a tree's and a file's own times are the image's.
    const std::int64_t changed =
        static_cast<std::int64_t>(info.st_ctim.tv_sec) * 1'000'000'000 + info.st_ctim.tv_nsec;
    const bool old = what_.grace && now_ - changed >= what_.grace->count();
    if (!old && !what_.candidates.contains(digest)) return {};
    return discard(file, info, referenced.trees, digest);
  }

  Result<> discard(const std::string& file, const struct stat& info,
                   const std::map<std::string, std::uint64_t>& trees, const std::string& digest) {
    const auto known = trees.find(digest);
    const std::uint64_t bytes = !S_ISDIR(info.st_mode) ? blocks_of(info)
                                : known != trees.end() ? known->second
                                                       : tree_bytes(file);
    const std::string to = format("{}/{}", trash_, next_++);
    int moved = ::rename(file.c_str(), to.c_str());
    // Another sweep empties the trash as a whole.
    if (moved < 0 && errno == ENOENT && (::mkdir(trash_.c_str(), 0700) == 0 || errno == EEXIST))
      moved = ::rename(file.c_str(), to.c_str());
    // Moving a directory writes its "..", which its mode may forbid its owner.
    if (moved < 0 && errno == EACCES && S_ISDIR(info.st_mode) && ::chmod(file.c_str(), 0700) == 0)
      moved = ::rename(file.c_str(), to.c_str());
    if (moved == 0) freed_ += bytes;
    return moved == 0 || errno == ENOENT ? Result<>() : sys_error("remove", file);
  }

  const Runtime::Impl& runtime_;
  const Collection& what_;
  const std::string trash_;
  const std::int64_t now_;
  std::uint64_t freed_ = 0;
  unsigned next_ = 0;
};

/// Blobs that nobody fetches any more.
Result<std::uint64_t> clear_partial(const Runtime::Impl& runtime, std::chrono::nanoseconds grace) {
  const std::string path = runtime.path("fetch/partial");
  std::uint64_t freed = 0;
  TRY(for_each_entry(path, [&](const std::string& name) -> Result<> {
    const std::string file = path + "/" + name;
    const Result<Fd> lock = open_fd(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info{};
    if (!lock || ::fstat(lock->get(), &info) < 0 || !S_ISREG(info.st_mode)) return {};
    const std::int64_t changed = static_cast<std::int64_t>(info.st_ctim.tv_sec) * 1'000'000'000;
    if (wall_ns() - changed < grace.count()) return {};
    if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) return {};
    if (::unlink(file.c_str()) == 0) freed += blocks_of(info);
    return {};
  }));
  return freed;
}

Result<> empty_trash(const Runtime::Impl& runtime) {
  const std::string path = runtime.path("fetch/trash");
  return for_each_entry(path, [&](const std::string& name) -> Result<> {
    return remove_tree_of(runtime, path, name);
  });
}

}  // namespace

std::set<std::string> parts_of(const store::ImageRow& row) {
  std::set<std::string> parts = {row.id};
  for (const store::BlobRow& blob : row.blobs) parts.insert(blob.digest);
  for (const store::LayerRow& layer : row.layers) parts.insert(layer.chain_id);
  return parts;
}

std::uint64_t tree_bytes(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0) return 0;
  std::uint64_t sum = blocks_of(info);
  if (!S_ISDIR(info.st_mode)) return sum;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return sum;
  const ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    sum += tree_bytes(path + "/" + entry->d_name);
  }
  return sum;
}

Result<std::uint64_t> collect_garbage(const Runtime::Impl& runtime, const Collection& what) {
  TRY(open_fetch_directories(runtime));
  const std::string trash = runtime.path("fetch/trash/" + TRY(make_ulid()));
  if (::mkdir(trash.c_str(), 0700) < 0) return sys_error("create directory", trash);
  Sweeper sweeper(runtime, what, trash);
  Result<> swept = runtime.images.collect(
      [&](const store::Referenced& referenced) { return sweeper.sweep(referenced); });
  std::uint64_t freed = sweeper.freed();
  // Deleting takes time; nobody has to wait for it with the database.
  TRY(empty_trash(runtime));
  TRY(std::move(swept));
  if (what.grace) freed += TRY(clear_partial(runtime, *what.grace));
  return freed;
}

Result<bool> erase_box(const Runtime::Impl& runtime, const store::BoxRow& row) {
  std::vector<store::BoxLayer> layers = TRY(runtime.snapshots.all_layers(row.id));
  const bool erased = TRY(runtime.state.erase(row.id));
  discard_layers(runtime, layers);
  if (row.image.empty()) return erased;
  // The image may have been kept for this box alone.
  const std::optional<store::ImageRow> image = TRY(runtime.images.drop_marked(row.image));
  if (!image) return erased;
  // What fails here goes with the next prune.
  [[maybe_unused]] const Result<std::uint64_t> freed =
      collect_garbage(runtime, {.candidates = parts_of(*image), .grace = {}});
  return erased;
}

}  // namespace caisson::engine
