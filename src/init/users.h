// Users and groups of a root file system: its own /etc/passwd and /etc/group, passwd(5), group(5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sys/dir.h"

namespace caisson::init {

struct User {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;  ///< supplementary
  std::string home = "/";
  friend bool operator==(const User&, const User&) = default;
};

/// Resolves `UID[:GID]` or `NAME[:GROUP]` (empty: root) and supplementary `groups`, given the text
/// of the two files (empty when absent). A user's own memberships count unless a group is named.
Result<User> resolve_user(std::string_view spec, const std::vector<std::string>& groups,
                          std::string_view passwd, std::string_view group);

/// The same by the files of a root file system.
Result<User> resolve_user(std::string_view spec, const std::vector<std::string>& groups,
                          const sys::Dir& root);

}  // namespace caisson::init
