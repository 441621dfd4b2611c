// Owners, modes, times and extended attributes of what an unpacker makes.
#pragma once

#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace caisson::fetch {

constexpr const char* kOpaqueXattr = "user.overlay.opaque";
constexpr const char* kOverrideXattr = "user.containers.override_stat";

struct Owner {
  std::uint32_t uid = 0, gid = 0;
  friend bool operator==(const Owner&, const Owner&) = default;
};
/// Errors: `layer_invalid` for ids that no Linux has (-1 is none).
Result<Owner> make_owner(std::int64_t uid, std::int64_t gid);

/// Both times of a file; what the kernel's file systems cannot hold is brought into the range of 64
/// bits signed seconds and a nanosecond below 10^9.
struct Times {
  timespec both[2];
};
Times make_times(std::int64_t seconds, std::int64_t nanoseconds);

/// Whether a layer may set it: `user.*` but for overlayfs's and our own, and file capabilities.
bool is_allowed_xattr(std::string_view name);
/// Sets an allowed attribute. What this file system or user cannot have is left away, as Docker
/// does; only a lack of space is an error.
Result<> set_xattr(int fd, const char* name, const void* value, std::size_t size);

/// `uid:gid:octal mode[:device]`; `device` is empty or "char-1-3".
std::string override_stat(Owner owner, mode_t mode, std::string_view device = {});
Result<> set_override(int fd, Owner owner, mode_t mode, std::string_view device = {});

/// Who may set owners: all, or nobody but the one id that there is.
struct Ownership {
  Owner birth;          ///< of what this process makes
  bool one_id = false;  ///< other owners are recorded
  bool record = false;  ///< owners that are refused are recorded; false: refusal is an error
};
/// Gives the open file or directory its owner, or records it. `mode` is what its mode will be.
Result<> set_owner(int fd, Owner owner, mode_t mode, const Ownership& ownership);
/// The same for a name that cannot be opened (symbolic link, device, FIFO); user attributes cannot
/// be on these, so an owner that is refused is lost.
Result<> set_owner_at(int dir, const char* name, Owner owner, const Ownership& ownership);

/// Copies mode, owner, allowed and override attributes, and times from one open file to another.
Result<> copy_attributes(int from, const struct stat& st, int to, const Ownership& ownership);

}  // namespace caisson::fetch
