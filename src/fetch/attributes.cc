#include "fetch/attributes.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace caisson::fetch {
namespace {

constexpr std::int64_t kMaxId = 4294967294;  // 4294967295 is (uid_t)-1, "leave it"
constexpr std::size_t kMaxXattr = 64 << 10;  // XATTR_SIZE_MAX

bool is_space_error(int err) { return err == ENOSPC || err == EDQUOT || err == EIO; }

/// Whether an owner was refused because this user may not set it or its namespace lacks it.
bool is_refusal(int err) { return err == EPERM || err == EINVAL; }

}  // namespace

Result<Owner> make_owner(std::int64_t uid, std::int64_t gid) {
  for (const std::int64_t id : {uid, gid})
    if (id < 0 || id > kMaxId)
      return make_error(Code::kInvalidArgument, "layer_invalid",
                        format("its owner {}:{} is out of range", uid, gid));
  return Owner{static_cast<std::uint32_t>(uid), static_cast<std::uint32_t>(gid)};
}

Times make_times(std::int64_t seconds, std::int64_t nanoseconds) {
  timespec t{};
  t.tv_sec = seconds;
  t.tv_nsec = static_cast<long>(std::clamp<std::int64_t>(nanoseconds, 0, 999'999'999));
  return {{t, t}};
}

bool is_allowed_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.") && name != kOverrideXattr;
}

Result<> set_xattr(int fd, const char* name, const void* value, std::size_t size) {
  if (!is_allowed_xattr(name)) return {};
  if (::fsetxattr(fd, name, value, size, 0) == 0 || !is_space_error(errno)) return {};
  // ext4 says "no space" also for an attribute that is larger than a block.
  if (errno == ENOSPC && size > 1024) return {};
  return sys_error("set attribute", name);
}

std::string override_stat(Owner owner, mode_t mode, std::string_view device) {
  std::string text = format("{}:{}:0{:o}", owner.uid, owner.gid, mode & 07777);
  if (!device.empty()) text += format(":{}", device);
  return text;
}

Result<> set_override(int fd, Owner owner, mode_t mode, std::string_view device) {
  const std::string text = override_stat(owner, mode, device);
  if (::fsetxattr(fd, kOverrideXattr, text.data(), text.size(), 0) < 0)
    return sys_error("set attribute", kOverrideXattr);
  return {};
}

Result<> set_owner(int fd, Owner owner, mode_t mode, const Ownership& ownership) {
  if (owner == ownership.birth) return {};
  if (!ownership.one_id) {
    if (::fchown(fd, owner.uid, owner.gid) == 0) return {};
    if (!ownership.record || !is_refusal(errno))
      return sys_error("change owner", format("{}:{}", owner.uid, owner.gid));
  }
  return set_override(fd, owner, mode);
}

Result<> set_owner_at(int dir, const char* name, Owner owner, const Ownership& ownership) {
  if (owner == ownership.birth || ownership.one_id) return {};
  if (::fchownat(dir, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0) return {};
  if (ownership.record && is_refusal(errno)) return {};
  return sys_error("change owner", format("{}:{}", owner.uid, owner.gid));
}

Result<> copy_attributes(int from, const struct stat& st, int to, const Ownership& ownership) {
  // Ids that our namespace lacks show as the overflow id; then there is an override to copy.
  if (!ownership.one_id && ::fchown(to, st.st_uid, st.st_gid) < 0 &&
      !(ownership.record && is_refusal(errno)))
    return sys_error("change owner", format("{}:{}", st.st_uid, st.st_gid));
  if (::fchmod(to, st.st_mode & 07777) < 0) return sys_error("change mode", "");
  std::vector<char> names(kMaxXattr), value(kMaxXattr);
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  std::string_view rest(names.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!rest.empty()) {
    const char* name = rest.data();  // each ends with a NUL
    rest.remove_prefix(std::min(rest.size(), std::string_view(name).size() + 1));
    if (!is_allowed_xattr(name) && std::string_view(name) != kOverrideXattr) continue;
    const ssize_t n = ::fgetxattr(from, name, value.data(), value.size());
    if (n >= 0 && ::fsetxattr(to, name, value.data(), static_cast<std::size_t>(n), 0) < 0 &&
        is_space_error(errno))
      return sys_error("set attribute", name);
  }
  const timespec times[2] = {st.st_mtim, st.st_mtim};
  if (::futimens(to, times) < 0) return sys_error("set time", "");
  return {};
}

}  // namespace caisson::fetch
