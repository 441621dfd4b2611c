#include "image/rootfs.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <memory>

namespace caisson::image {
namespace {

/// The host's programs and libraries. Where these are links into /usr (a merged /usr), the
/// synthesised tree has the same links.
constexpr const char* kViews[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

Result<Rootfs> host_source(const std::string& home) {
  Rootfs rootfs;
  rootfs.lowers = {TRY(host_view(home))};
  for (const char* path : kViews) {
    struct stat info{};
    if (::lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) rootfs.views.push_back({path});
  }
  rootfs.private_tmp = true;
  rootfs.workdir = "/workspace";
  return rootfs;
}

Result<Rootfs> directory_source(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  struct stat info{};
  if (!real || ::stat(real.get(), &info) < 0) {
    Error error = sys_error("open image directory", path);
    error.reason = "source_missing";
    return error;
  }
  if (!S_ISDIR(info.st_mode)) {
    Error error = errno_error(ENOTDIR, "open image directory", path);
    error.reason = "source_missing";
    return error;
  }
  Rootfs rootfs;
  rootfs.lowers = {real.get()};
  return rootfs;
}

}  // namespace

Result<> check_source(std::string_view source) {
  if (source == "host:") return {};
  TRY(resolve_source(source, ""));
  return {};
}

Result<Rootfs> resolve_source(std::string_view source, const std::string& home) {
  if (source == "host:") return host_source(home);
  if (source.starts_with("dir:")) return directory_source(std::string(source.substr(4)));
  return make_error(Code::kInvalidArgument, "source_unknown",
                    format("open image source '{}': unknown kind", source),
                    "use host: or dir:PATH");
}

}  // namespace caisson::image
