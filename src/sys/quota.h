// How much a directory may take: project quotas of XFS and ext4.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace caisson::sys {

/// Whether the file system of the directory `fd` would hold a limit, and we may set one: it is
/// mounted with `prjquota`, and we are root. `volume_size_unsupported`.
Result<> check_quota(int fd, const std::string& path);

/// Limits what is in the empty directory `fd`, and will be, to `bytes` on disk, rounded up to
/// KiB. Once done for a directory, it only looks whether it still holds. Two callers must not do it
/// at the same time. `key` is what makes the directory different from others of this machine.
/// `volume_size_unsupported`.
Result<> limit_directory(int fd, const std::string& path, std::string_view key,
                         std::uint64_t bytes);

/// The number of the limit on the directory `fd`; 0: there is none of ours.
std::uint32_t limit_of(int fd);
/// Forgets a limit whose directory has been removed. Nothing is lost when that fails: another
/// number will be chosen.
void forget_limit(int fd, std::uint32_t number);

}  // namespace caisson::sys
