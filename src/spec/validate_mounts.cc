#include <limits>
#include <set>

#include "spec/checks.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

constexpr std::uint64_t kMaxNumber = std::numeric_limits<std::int64_t>::max();

Error bad_mount(const Mount& mount, std::string_view cause, std::string hint = {}) {
  return invalid("mount_invalid", format("validate mount at {}: {}", quote(mount.target), cause),
                 std::move(hint));
}

/// Caisson makes these itself, and what is masked there must not be covered or uncovered.
bool is_reserved(std::string_view target) {
  if (is_within(target, "/dev/shm")) return false;
  return is_within(target, "/proc") || is_within(target, "/sys") || is_within(target, "/dev");
}

Result<> check_bind(const Mount& mount) {
  if (mount.source.empty()) return bad_mount(mount, "a bind mount needs a source");
  if (!is_absolute(mount.source) || has_parent_component(mount.source))
    return bad_mount(mount,
                     format("source {} is not absolute and free of '..'", quote(mount.source)));
  if (mount.size_bytes || mount.inodes || mount.mode)
    return bad_mount(mount, "size, inodes and mode are for tmpfs only");
  return {};
}

Result<> check_volume(const Mount& mount) {
  if (Result<> name = check_volume_name(mount.source); !name)
    return bad_mount(mount, name.error().message, name.error().hint);
  if (mount.size_bytes || mount.inodes || mount.mode)
    return bad_mount(mount, "size, inodes and mode are for tmpfs only");
  return {};
}

/// 0 is refused because the kernel takes it for "without limit".
bool in_range(const std::optional<std::uint64_t>& number) {
  return !number || (*number >= 1 && *number <= kMaxNumber);
}

Result<> check_tmpfs(const Mount& mount) {
  if (!mount.source.empty()) return bad_mount(mount, "a tmpfs has no source");
  if (mount.idmap != IdMapping::kAuto) return bad_mount(mount, "a tmpfs has no idmap");
  if (!in_range(mount.size_bytes)) return bad_mount(mount, "size is out of range");
  if (!in_range(mount.inodes)) return bad_mount(mount, "inodes is out of range");
  if (mount.mode && *mount.mode > 07777) return bad_mount(mount, "mode is out of range");
  return {};
}

}  // namespace

Result<> check_mount(const Mount& mount) {
  TRY(check_no_nul("mount target", mount.target));
  TRY(check_no_nul("mount source", mount.source));
  if (!is_canonical(mount.target))
    return bad_mount(mount, "the target is not an absolute path without '.', '..' and '//'");
  if (mount.target == "/") return bad_mount(mount, "the root itself cannot be mounted over");
  if (is_reserved(mount.target))
    return bad_mount(mount, "/proc, /sys and /dev are made by caisson",
                     "mount elsewhere; of these only /dev/shm can be replaced");
  switch (mount.type) {
    case MountType::kBind:
      return check_bind(mount);
    case MountType::kVolume:
      return check_volume(mount);
    case MountType::kTmpfs:
      break;
  }
  return check_tmpfs(mount);
}

Result<> check_volume_name(std::string_view name) {
  if (name.empty()) return invalid("name_invalid", "validate volume: it has no name");
  return check_name(name);
}

/// Absolute in the box, or below every writable bind.
Result<> check_protected(const std::string& path) {
  TRY(check_no_nul("protected path", path));
  const std::string_view name = std::string_view(path).substr(0, path.size() - path.ends_with('/'));
  const bool canonical = is_absolute(name) ? is_canonical(name) : is_canonical(format("/{}", name));
  if (!canonical || name.empty() || name == "/")
    return invalid(
        "protect_invalid",
        format("validate protected path {}: not a path without '.', '..' and '//'", quote(path)));
  if (is_absolute(name) && is_reserved(name))
    return invalid("protect_invalid",
                   format("validate protected path {}: /proc, /sys and /dev are made by caisson",
                          quote(path)));
  return {};
}

Result<> check_mounts(const std::vector<Mount>& mounts) {
  std::set<std::string_view> targets;
  for (const Mount& mount : mounts) {
    TRY(check_mount(mount));
    if (!targets.insert(mount.target).second)
      return bad_mount(mount, "another mount has the same target");
  }
  return {};
}

}  // namespace caisson::spec
