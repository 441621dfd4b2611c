#include "container/writable_layer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/fd.h"
#include "container/disk.h"
#include "image/flatten.h"
#include "sys/tree.h"

namespace caisson::container {
namespace {

std::vector<std::string> lower_paths(const Rootfs& rootfs) {
  std::vector<std::string> paths;
  for (const std::string& lower : rootfs.lowers) paths.push_back(lower_path(rootfs, lower));
  return paths;
}

/// The size goes first: a copy that has its name has its size too.
Result<> make_copy(const std::string& data, const Rootfs& rootfs) {
  const std::string name = writable_name(rootfs);
  if (::access((data + "/" + name).c_str(), F_OK) == 0) return {};
  const Fd parent = TRY(open_fd(data, O_RDONLY | O_DIRECTORY));
  TRY(sys::remove_tree(parent.get(), "making"));
  if (::mkdirat(parent.get(), "making", 0700) < 0) return sys_error("create directory", "making");
  const Fd making = TRY(open_at(parent.get(), "making", O_RDONLY | O_DIRECTORY));
  TRY(image::flatten(lower_paths(rootfs), making.get(), "rootfs"));
  const std::uint64_t size = directory_bytes(data + "/making/rootfs", UINT64_MAX);
  const std::uint64_t given = size - std::min(size, rootfs.written_bytes);
  TRY(replace_file(parent.get(), "rootfs.size", std::to_string(given), 0600));
  if (::renameat(making.get(), "rootfs", parent.get(), name.c_str()) < 0)
    return sys_error("rename into place", name);
  return sys::remove_tree(parent.get(), "making");
}

}  // namespace

std::uint64_t written_bytes(const std::string& data, const Rootfs& rootfs, std::uint64_t enough) {
  const std::string path = data + "/" + writable_name(rootfs);
  if (rootfs.strategy != RootfsStrategy::kMerged)
    return rootfs.written_bytes + directory_bytes(path, enough);
  std::uint64_t size = 0;
  const std::string text = read_file(data + "/rootfs.size", 64).value_or("");
  std::from_chars(text.data(), text.data() + text.size(), size);
  const std::uint64_t now = directory_bytes(path, size + enough);
  return now > size ? now - size : 0;
}

Result<> make_writable_layer(const std::string& data, const Rootfs& rootfs, bool root,
                             const Ids& ids) {
  if (rootfs.strategy == RootfsStrategy::kMerged) return make_copy(data, rootfs);
  struct stat top{};
  const std::string topmost = lower_paths(rootfs).front();
  if (::stat(topmost.c_str(), &top) < 0) {
    Error error = sys_error("look at image layer", topmost);
    error.reason = "image_damaged";
    return error;
  }
  const std::string upper = data + "/" + writable_name(rootfs), work = data + "/work";
  if (::mkdir(upper.c_str(), 0755) < 0) {
    if (errno != EEXIST) return sys_error("create directory", upper);
  } else {
    // An ordinary user's layers belong to the box's root, unless that one is somebody else now.
    const bool swapped = ids.swapped_uid != 0 || ids.swapped_gid != 0;
    if (root && ::chown(upper.c_str(), top.st_uid, top.st_gid) < 0)
      return sys_error("set owner of", upper);
    if (swapped && ::chown(upper.c_str(), ids.root_uid(), ids.root_gid()) < 0)
      return sys_error("set owner of", upper);
    if (::chmod(upper.c_str(), top.st_mode & 07777) < 0) return sys_error("set mode of", upper);
  }
  if (::mkdir(work.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return sys_error("create directory", work);
  // What an earlier run left in the work directory is of no use, and the kernel refuses that of a
  // volatile overlay (Documentation/filesystems/overlayfs).
  Fd parent = TRY(open_fd(data, O_PATH | O_DIRECTORY));
  TRY(sys::remove_tree(parent.get(), "work"));
  if (::mkdir(work.c_str(), 0700) < 0) return sys_error("create directory", work);
  return {};
}

}  // namespace caisson::container
