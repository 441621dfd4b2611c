#include "engine/named_volumes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/ulid.h"
#include "caisson/volume.h"
#include "engine/audit.h"
#include "engine/box_impl.h"
#include "spec/checks.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"
#include "sys/quota.h"

namespace caisson {
namespace engine {
namespace {

using store::VolumeRow;

std::string directory_of(const VolumeRow& row) { return format("{}.{}", row.name, row.id); }

/// Whether `name` is that of a volume's directory: the folder may be a file system of its own,
/// which has a lost+found.
bool is_volume_directory(std::string_view name) {
  constexpr std::size_t kId = 26;
  return name.size() > kId + 1 && name[name.size() - kId - 1] == '.' &&
         is_ulid(name.substr(name.size() - kId));
}

/// The folder of all volumes as it really is: a start refuses symbolic links.
Result<std::string> open_folder(const Runtime::Impl& runtime) {
  const std::string path = runtime.path("volumes");
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", path);
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) return sys_error("open directory", path);
  return std::string(real.get());
}

/// The row is there; the directory is after this, limited as the row says.
Result<std::string> complete(const Runtime::Impl& runtime, const VolumeRow& row) {
  const std::string folder = TRY(open_folder(runtime));
  std::string path = folder + "/" + directory_of(row);
  // The mode holds under any umask. Later the directory may be a box's.
  if (::mkdir(path.c_str(), 0755) == 0) {
    if (::chmod(path.c_str(), 0755) < 0) return sys_error("set mode of", path);
  } else if (errno != EEXIST) {
    return sys_error("create directory", path);
  }
  if (!row.size_bytes) return path;
  // Two that choose a number for their limits at the same time must not choose the same.
  const Fd lock = TRY(open_fd(folder, O_RDONLY | O_DIRECTORY));
  while (::flock(lock.get(), LOCK_EX) < 0)
    if (errno != EINTR) return sys_error("lock", folder);
  const Fd directory = TRY(open_fd(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(sys::limit_directory(directory.get(), path, directory_of(row), *row.size_bytes));
  return path;
}

Result<> remove_directory(const Runtime::Impl& runtime, const Fd& folder, const std::string& name) {
  std::uint32_t limit = 0;
  if (const Fd directory{
          ::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)})
    limit = sys::limit_of(directory.get());
  if (Result<> removed = remove_tree_of(runtime, runtime.path("volumes"), name); !removed)
    return with_context(removed.error(), "remove files of volume");
  if (limit != 0) sys::forget_limit(folder.get(), limit);
  return {};
}

/// Removes the directories that no row names. The row of a directory is committed before it is
/// made and has an id of its own: a row that is not there any more does not come back.
Result<> clear_leftovers(const Runtime::Impl& runtime) {
  const std::string path = runtime.path("volumes");
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return errno == ENOENT ? Result<>() : sys_error("read directory", path);
  const ScopeExit close([dir] { ::closedir(dir); });
  std::set<std::string> left;
  while (const dirent* entry = ::readdir(dir))
    if (is_volume_directory(entry->d_name)) left.insert(entry->d_name);
  if (left.empty()) return {};
  for (const VolumeRow& row : TRY(runtime.volumes.list())) left.erase(directory_of(row));
  const Fd folder = TRY(open_fd(path, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : left) TRY(remove_directory(runtime, folder, name));
  return {};
}

Error not_found(std::string_view name) {
  return make_error(Code::kNotFound, "volume_not_found",
                    format("find volume '{}': there is none", name),
                    "list them with: caisson volume ls");
}

Result<VolumeRow> find_row(const Runtime::Impl& runtime, std::string_view name) {
  std::optional<VolumeRow> row = TRY(runtime.volumes.find(name));
  if (!row) return not_found(name);
  return std::move(*row);
}

Result<VolumeRow> new_volume(std::string name) {
  return VolumeRow{std::move(name), TRY(make_ulid()), wall_ns(), "{}", {}, {}};
}

Result<VolumeInfo> info_of(VolumeRow row, std::string path) {
  VolumeInfo info{row.name, std::move(path), row.created_ns, {}, row.size_bytes, {}};
  info.used_by = std::move(row.users);
  const nlohmann::json labels = nlohmann::json::parse(row.labels_json, nullptr, false);
  if (Result<> read = spec::read_value(labels, info.labels, {nullptr, "labels", {}}); !read)
    return make_error(Code::kDataLoss, "state_corrupt",
                      format("read record of volume '{}': {}", row.name, read.error().message));
  return info;
}

Result<> check(const VolumeSpec& spec) {
  TRY(spec::check_name(spec.name));
  for (const auto& [key, value] : spec.labels) {
    if (key.empty())
      return make_error(Code::kInvalidArgument, "label_invalid",
                        "validate label '': the key is empty");
    TRY(spec::check_no_nul("label", key));
    TRY(spec::check_no_nul("value of label", value));
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (spec.size_bytes && (*spec.size_bytes == 0 || *spec.size_bytes > kMost))
    return make_error(Code::kInvalidArgument, "limit_invalid",
                      format("validate size of volume: {} is out of range", *spec.size_bytes),
                      "without a size there is no limit");
  return {};
}

}  // namespace

Result<store::BoxVolumes> volumes_of(const BoxSpec& spec) {
  std::set<std::string> names;
  for (const Mount& mount : spec.mounts)
    if (mount.type == MountType::kVolume) names.insert(mount.source);
  store::BoxVolumes volumes;
  for (const std::string& name : names) volumes.rows.push_back(TRY(new_volume(name)));
  return volumes;
}

Result<std::string> volume_path(const Runtime::Impl& runtime, std::string_view name) {
  Result<std::string> path = complete(runtime, TRY(find_row(runtime, name)));
  if (!path) return with_context(path.error(), format("open volume '{}'", name));
  return path;
}

Result<BoxSpec> with_volume_paths(const Runtime::Impl& runtime, BoxSpec spec) {
  for (Mount& mount : spec.mounts) {
    if (mount.type != MountType::kVolume) continue;
    mount.source = TRY(volume_path(runtime, mount.source));
    mount.type = MountType::kBind;
  }
  return spec;
}

Result<BoxSpec> with_planned_volumes(const Runtime::Impl& runtime, BoxSpec spec) {
  for (Mount& mount : spec.mounts) {
    if (mount.type != MountType::kVolume) continue;
    const std::optional<VolumeRow> row = TRY(runtime.volumes.find(mount.source));
    mount.source = runtime.path("volumes/") + (row ? directory_of(*row) : mount.source + ".<id>");
    mount.type = MountType::kBind;
  }
  return spec;
}

}  // namespace engine

std::string to_json(const VolumeInfo& info) {
  nlohmann::json object = {{"name", info.name},
                           {"path", spec::encode_text(info.path)},
                           {"created", spec::rfc3339(info.created_ns)},
                           {"created_ns", info.created_ns},
                           {"labels", spec::encode_text_map(info.labels)},
                           {"used_by", info.used_by}};
  spec::put(object, "size_bytes", info.size_bytes);
  return object.dump();
}

class Volumes::Impl final {
 public:
  explicit Impl(std::shared_ptr<const Runtime::Impl> runtime) : runtime(std::move(runtime)) {}
  const std::shared_ptr<const Runtime::Impl> runtime;  ///< shared: it may outlive the Runtime
};

Volumes::Volumes(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Volumes Runtime::volumes() { return Volumes(std::make_shared<const Volumes::Impl>(impl_)); }

Result<VolumeInfo> Volumes::create(const VolumeSpec& spec) {
  const Runtime::Impl& runtime = *impl_->runtime;
  TRY(engine::check(spec));
  store::VolumeRow row = TRY(engine::new_volume(spec.name));
  if (row.name.empty()) row.name = row.id;
  row.labels_json = spec::encode_text_map(spec.labels).dump();
  row.size_bytes = spec.size_bytes;
  if (row.size_bytes) {
    const std::string folder = TRY(engine::open_folder(runtime));
    const Fd directory = TRY(open_fd(folder, O_RDONLY | O_DIRECTORY));
    if (Result<> fine = sys::check_quota(directory.get(), folder); !fine)
      return with_context(fine.error(), format("create volume '{}'", row.name));
  }
  TRY(runtime.volumes.insert(row));
  Result<std::string> path = engine::complete(runtime, row);
  if (!path) {
    if (runtime.volumes.remove(row.name)) {
      [[maybe_unused]] const Result<> cleared = engine::clear_leftovers(runtime);
    }
    return with_context(path.error(), format("create volume '{}'", row.name));
  }
  engine::tell_volume(runtime, "volume_created", row.name);
  return engine::info_of(std::move(row), std::move(*path));
}

Result<std::vector<VolumeInfo>> Volumes::list() {
  std::vector<store::VolumeRow> rows = TRY(impl_->runtime->volumes.list());
  std::vector<VolumeInfo> infos;
  if (rows.empty()) return infos;
  const std::string folder = TRY(engine::open_folder(*impl_->runtime));
  for (store::VolumeRow& row : rows) {
    std::string path = folder + "/" + engine::directory_of(row);
    infos.push_back(TRY(engine::info_of(std::move(row), std::move(path))));
  }
  return infos;
}

Result<VolumeInfo> Volumes::find(std::string_view name) {
  store::VolumeRow row = TRY(engine::find_row(*impl_->runtime, name));
  std::string path = TRY(engine::complete(*impl_->runtime, row));
  return engine::info_of(std::move(row), std::move(path));
}

Result<> Volumes::remove(std::string_view name) {
  TRY(impl_->runtime->volumes.remove(name));
  engine::tell_volume(*impl_->runtime, "volume_removed", name);
  return engine::clear_leftovers(*impl_->runtime);
}

Result<std::vector<std::string>> Volumes::prune(std::chrono::nanoseconds age) {
  std::vector<std::string> names =
      TRY(impl_->runtime->volumes.remove_unused(wall_ns() - age.count()));
  for (const std::string& name : names)
    engine::tell_volume(*impl_->runtime, "volume_removed", name);
  TRY(engine::clear_leftovers(*impl_->runtime));
  return names;
}

}  // namespace caisson
