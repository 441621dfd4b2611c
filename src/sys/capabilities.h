// Capability sets, capabilities(7), as bit masks. Everything here is async-signal-safe except the
// name functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::sys {

using CapMask = std::uint64_t;
constexpr CapMask cap_bit(int cap) { return CapMask{1} << cap; }

/// The highest capability number this program knows (CAP_CHECKPOINT_RESTORE).
constexpr int kLastCap = 40;

/// Sets effective, permitted and inheritable sets of this thread. 0 or an errno.
int set_capabilities(CapMask effective, CapMask permitted, CapMask inheritable) noexcept;
/// Raises the effective set to all that is permitted.
int raise_effective() noexcept;
/// Removes everything not in `keep` from the bounding set. 0 or an errno.
int drop_bounding(CapMask keep) noexcept;

/// "CAP_CHOWN" and so on.
std::string_view capability_name(int cap);
std::vector<std::string> capability_names(CapMask mask);

}  // namespace caisson::sys
