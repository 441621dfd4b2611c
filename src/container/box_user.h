// An ordinary user's box: its user, and whether that one is to have the caller's ids, before there
// is a root to look into.
#pragma once

#include <string>

#include "container/plan.h"
#include "spec/rootfs.h"

namespace caisson::container {

/// Fills Facts::user_uid, user_gid and swap_ids. A box keeps what its first start has found, in a
/// file of `data`: ids of files on disk mean what they meant when they were written.
/// `idmap_unavailable`: a mount requires its ids to be mapped, and this user cannot.
Result<> find_box_user(const BoxSpec& spec, const Rootfs& rootfs, const std::string& data,
                       Facts& facts, std::vector<std::string>& warnings);

/// What the first start of the box in `data` has swapped with the caller's ids: its user's; 0:
/// none.
struct SwappedIds {
  std::uint32_t uid = 0, gid = 0;
};
SwappedIds swapped_ids(const std::string& data);

}  // namespace caisson::container
