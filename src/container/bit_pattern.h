// BitPattern: a set of 32-bit values that one masked comparison describes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace caisson::container {

/// The values x with (x & mask) == value.
struct BitPattern {
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
  friend bool operator==(const BitPattern&, const BitPattern&) = default;
};

/// Exactly one value.
constexpr BitPattern just(std::uint32_t value) { return {0xffffffff, value}; }

/// Disjoint patterns that together hold every value which none of `patterns` holds. libseccomp
/// has no "otherwise" for one call and no masked inequality; this says both.
std::vector<BitPattern> everything_but(std::span<const BitPattern> patterns);

}  // namespace caisson::container
