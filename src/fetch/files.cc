#include "fetch/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/fetch_protocol.h"

namespace caisson::fetch {
namespace {

Error missing(const std::string& path, const std::string& name) {
  return make_error(Code::kNotFound, "image_incomplete",
                    format("read image '{}': there is no '{}' in it", name, path));
}

}  // namespace

Result<Files> Files::in_directory(Fd directory, std::string name) {
  return Files(std::move(directory), std::move(name));
}

Result<Files> Files::in_archive(Fd archive, std::string name) {
  Files files(std::move(archive), std::move(name));
  files.archive_ = true;
  files.members_ = TRY(index_archive(files.fd_.get(), files.name_));
  return files;
}

Result<Extent> Files::find(const std::string& path) {
  if (!archive_) return open_in_directory(path);
  std::string at = path;
  // Old docker archives have layers that are links to others' (moby issue 31349).
  for (int links = 0; links < 8; ++links) {
    const auto found = members_.find(at);
    if (found == members_.end()) break;
    if (found->second.link.empty())
      return Extent{fd_.get(), found->second.offset, found->second.size};
    at = found->second.link;
  }
  return missing(path, name_);
}

Result<Extent> Files::open_in_directory(const std::string& path) {
  Fd& fd = opened_[path];
  if (!fd) {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    fd = Fd(static_cast<int>(::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how)));
    if (!fd && (errno == ENOENT || errno == ENOTDIR)) return missing(path, name_);
    if (!fd) return sys_error(format("open '{}' of image", path), name_);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) < 0) return sys_error("look at", path);
  if (!S_ISREG(info.st_mode)) return errno_error(EINVAL, format("open '{}' of image", path), name_);
  return Extent{fd.get(), 0, static_cast<std::uint64_t>(info.st_size)};
}

Result<std::string> Files::read(const std::string& path) {
  return read_extent(TRY(find(path)), image::kMaxDocument, path);
}

Result<std::string> read_extent(const Extent& extent, std::size_t most, const std::string& name) {
  if (extent.size > most)
    return make_error(
        Code::kResourceExhausted, "manifest_too_large",
        format("read '{}': it has {} bytes, {} are allowed", name, extent.size, most));
  std::string text(extent.size, '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = ::pread(extent.fd, text.data() + got, text.size() - got,
                              static_cast<off_t>(extent.offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("read", name);
    if (n == 0)
      return make_error(Code::kDataLoss, "image_incomplete",
                        format("read '{}': it has become shorter", name));
    got += static_cast<std::size_t>(n);
  }
  return text;
}

}  // namespace caisson::fetch
