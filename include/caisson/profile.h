// Profiles: named sets of defaults, as data. See docs/profiles.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/limits.h"
#include "caisson/spec.h"

namespace caisson {

/// What a profile gives to a box whose spec does not say otherwise. Each field names the one of
/// BoxSpec that comes before it.
struct ProfileInfo {
  Profile profile = Profile::kStandard;
  std::string_view about;                          ///< one line for people
  bool read_only_root = false;                     ///< BoxSpec::read_only_root
  std::span<const std::string_view> capabilities;  ///< security.cap_add and cap_drop
  bool no_new_privileges = true;                   ///< security.no_new_privileges
  std::string_view seccomp;                        ///< security.seccomp; see docs/seccomp.md
  Network network = Network::kNone;                ///< BoxSpec::network
  Limits limits;                                   ///< each that is present
  std::span<const std::string_view>
      protect;  ///< BoxSpec::protect, unless protect_defaults is false
};

/// Static data; valid for ever.
const ProfileInfo& profile_info(Profile profile);
/// All of them, the strictest first.
std::span<const ProfileInfo> profiles();
std::string to_json(const ProfileInfo& info);

}  // namespace caisson
