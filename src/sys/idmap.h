// Maps of ids as values: pure.
#pragma once

#include <cstdint>
#include <vector>

#include "sys/userns.h"

namespace caisson::sys {

/// The lines that swap `owner` and `user` and leave every other id of 0..count-1 as it is: their
/// own inverse, and at most five. An owner that is not among them takes the user's place, whose own
/// files then belong to nobody: there is no id left for it.
std::vector<IdRange> swap_map(std::uint32_t owner, std::uint32_t user, std::uint32_t count);

/// First `first`, then `second`; what either does not map is not in it. No line crosses two of
/// either, which the kernel would refuse; it takes at most kMostExtents, user_namespaces(7).
std::vector<IdRange> compose(const std::vector<IdRange>& first, const std::vector<IdRange>& second);
constexpr std::size_t kMostExtents = 340;

/// The same lines without the id `inside`.
std::vector<IdRange> without(const std::vector<IdRange>& lines, std::uint32_t inside);

/// What an id becomes; UINT32_MAX when the lines do not map it.
std::uint32_t mapped(const std::vector<IdRange>& lines, std::uint32_t id);

}  // namespace caisson::sys
