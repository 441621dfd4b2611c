#include "engine/volumes.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <memory>

#include "spec/effective.h"

namespace caisson::engine {
namespace {

/// A path without symbolic links. One that ends in '/' must be a directory.
Result<std::string> real_path(const std::string& path, std::string_view what) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  struct stat info{};
  if (!real || ::stat(real.get(), &info) < 0) {
    Error error = sys_error(format("open {}", what), path);
    error.reason = error.sys_errno == ENOENT || error.sys_errno == EACCES ? "mount_source_missing"
                                                                          : "mount_source_unusable";
    return error;
  }
  if (path.ends_with('/') && !S_ISDIR(info.st_mode))
    return make_error(Code::kFailedPrecondition, "mount_source_unusable",
                      format("open {} '{}': it is not a directory", what, path));
  return std::string(real.get());
}

}  // namespace

Result<BoxSpec> with_real_sources(BoxSpec spec) {
  for (Mount& mount : spec.mounts) {
    if (mount.type != MountType::kBind) continue;
    const bool same = mount.source == mount.target || mount.source == mount.target + "/";
    mount.source = TRY(real_path(mount.source, "bind source"));
    if (same && !caisson::spec::has_own_root(spec.isolation)) mount.target = mount.source;
  }
  for (auto* paths : {&spec.access.read, &spec.access.write, &spec.access.execute})
    for (std::string& path : *paths) path = TRY(real_path(path, "allowed path"));
  return spec;
}

}  // namespace caisson::engine
