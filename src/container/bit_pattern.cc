#include "container/bit_pattern.h"

namespace caisson::container {
namespace {

bool overlap(BitPattern a, BitPattern b) {
  return ((a.value ^ b.value) & a.mask & b.mask) == 0;
}

/// Appends disjoint patterns for the values of `whole` that are not in `part`: for each bit that
/// only `part` fixes, those that agree with it on the earlier bits and differ in this one.
void subtract(BitPattern whole, BitPattern part, std::vector<BitPattern>& out) {
  if (!overlap(whole, part)) {
    out.push_back(whole);
    return;
  }
  for (std::uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((part.mask & bit) == 0 || (whole.mask & bit) != 0) continue;
    whole.mask |= bit;
    out.push_back({whole.mask, whole.value | (~part.value & bit)});
    whole.value |= part.value & bit;
  }
}

}  // namespace

std::vector<BitPattern> everything_but(std::span<const BitPattern> patterns) {
  std::vector<BitPattern> rest = {BitPattern{}};
  for (const BitPattern& pattern : patterns) {
    std::vector<BitPattern> next;
    for (const BitPattern& whole : rest) subtract(whole, pattern, next);
    rest = std::move(next);
  }
  return rest;
}

}  // namespace caisson::container
