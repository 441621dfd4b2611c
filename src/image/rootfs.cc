#include "image/rootfs.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <memory>

namespace caisson::image {
namespace {

/// The host's programs and libraries. Where these are links into /usr (a merged /usr), the
/// synthesised tree has the same links.
constexpr const char* kViews[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

Error not_there(int err, const std::string& path) {
  Error error = errno_error(err, "open image directory", path);
  error.reason = "source_missing";
  return error;
}

/// `path` is as check_source made it; a link that has appeared in it since is refused where it is
/// opened.
Result<Rootfs> directory_source(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0) return not_there(errno, path);
  if (S_ISLNK(info.st_mode)) return not_there(ELOOP, path);
  if (!S_ISDIR(info.st_mode)) return not_there(ENOTDIR, path);
  Rootfs rootfs;
  rootfs.lowers = {path};
  return rootfs;
}

Result<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) return not_there(errno, path);
  return std::string(real.get());
}

Result<ResolvedSource> host_source(const std::string& home) {
  HostTree tree = TRY(host_view(home));
  Rootfs rootfs;
  rootfs.lowers = {TRY(real_path(tree.path))};
  for (const char* path : kViews) {
    struct stat info{};
    if (::lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) rootfs.views.push_back({path});
  }
  rootfs.private_tmp = true;
  rootfs.workdir = "/workspace";
  return ResolvedSource{std::move(rootfs), std::move(tree.held)};
}

}  // namespace

Result<std::string> check_source(std::string_view source) {
  if (source == "host:") return std::string(source);
  if (!source.starts_with("dir:")) {
    TRY(resolve_source(source, ""));
    return std::string(source);
  }
  const std::string path = TRY(real_path(std::string(source.substr(4))));
  TRY(directory_source(path));
  return "dir:" + path;
}

Result<ResolvedSource> resolve_source(std::string_view source, const std::string& home) {
  if (source == "host:") return host_source(home);
  if (source.starts_with("dir:"))
    return ResolvedSource{TRY(directory_source(std::string(source.substr(4)))), {}};
  return make_error(Code::kInvalidArgument, "source_unknown",
                    format("open image source '{}': unknown kind", source),
                    "use host: or dir:PATH");
}

}  // namespace caisson::image
