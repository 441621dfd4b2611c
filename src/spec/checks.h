// The parts of validate() that other files of this module use too.
#pragma once

#include <array>
#include <string_view>

#include "base/error.h"
#include "caisson/spec.h"

namespace caisson::spec {

/// What BoxSpec::allow_missing may name.
inline constexpr std::array<std::string_view, 11> kLimitNames = {
    "memory",     "pids",      "cpus", "cpu_weight", "cpu_time",    "wall_time",
    "open_files", "file_size", "disk", "tmpfs",      "tmpfs_inodes"};

/// Whether the isolation can do what the spec asks for: `isolation_unsupported`.
Result<> check_isolation(const BoxSpec& spec);
Result<> check_limits(const Limits& limits);
Result<> check_mount(const Mount& mount);
Result<> check_protected(const std::string& path);
Result<> check_mounts(const std::vector<Mount>& mounts);
/// Of a box or a snapshot; empty is fine. `name_invalid`.
Result<> check_name(std::string_view name);
/// Of a volume: a name that is not empty.
Result<> check_volume_name(std::string_view name);
/// No NUL byte: it would end the string early in the kernel.
Result<> check_no_nul(std::string_view what, std::string_view text);

}  // namespace caisson::spec
