#include "container/writable_layer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "sys/tree.h"

namespace caisson::container {

Result<> make_writable_layer(const std::string& data, const Rootfs& rootfs, bool root) {
  struct stat top{};
  const std::string topmost = rootfs.lower_parent.empty()
                                  ? rootfs.lowers.front()
                                  : rootfs.lower_parent + "/" + rootfs.lowers.front();
  if (::stat(topmost.c_str(), &top) < 0) {
    Error error = sys_error("look at image layer", topmost);
    error.reason = "image_damaged";
    return error;
  }
  const std::string upper = data + "/upper", work = data + "/work";
  if (::mkdir(upper.c_str(), 0755) < 0) {
    if (errno != EEXIST) return sys_error("create directory", upper);
  } else {
    if (root && ::chown(upper.c_str(), top.st_uid, top.st_gid) < 0)
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
