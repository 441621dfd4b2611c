// A spec's own fields over its profile's.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/profile.h"

namespace caisson::spec {

/// The others see the host's files.
constexpr bool has_own_root(Isolation isolation) {
  return isolation == Isolation::kContainer || isolation == Isolation::kMicroVm;
}

/// Binds, volumes, or a root that is no image.
bool shows_host_files(const BoxSpec& spec);

/// The limits of the spec; those it leaves open are the profile's.
Limits effective_limits(const BoxSpec& spec);
bool effective_read_only_root(const BoxSpec& spec);
bool effective_no_new_privileges(const BoxSpec& spec);
/// "CAP_CHOWN", …: the profile's, those added, without those dropped.
std::vector<std::string> effective_capabilities(const BoxSpec& spec);
/// The spec's and the profile's protected paths.
std::vector<std::string> effective_protect(const BoxSpec& spec);

/// capabilities(7), in the order of their numbers.
std::span<const std::string_view> all_capabilities();
/// "net_raw" is "CAP_NET_RAW"; "ALL" stays.
std::string capability_name(std::string_view text);

}  // namespace caisson::spec
