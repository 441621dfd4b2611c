#include "container/bit_pattern.h"

#include <gtest/gtest.h>

namespace caisson::container {
namespace {

int holders(const std::vector<BitPattern>& patterns, std::uint32_t value) {
  int count = 0;
  for (const BitPattern& pattern : patterns) count += (value & pattern.mask) == pattern.value;
  return count;
}

TEST(BitPattern, EverythingButIsTheExactComplementAndDisjoint) {
  const BitPattern excluded[] = {just(1), just(0xffffffff), {0xfffffff7, 2}, {0xf0000000, 0x30000000}};
  const std::vector<BitPattern> rest = everything_but(excluded);
  const auto expect = [&](std::uint32_t value) {
    const bool is_excluded = holders({std::begin(excluded), std::end(excluded)}, value) > 0;
    EXPECT_EQ(holders(rest, value), is_excluded ? 0 : 1) << value;
  };
  for (std::uint32_t value = 0; value < 70000; ++value) expect(value);
  for (std::uint32_t value = 1; value != 0; value += 65537 * 3) {
    expect(value);
    if (value > 0xffffffff - 65537 * 3) break;
  }
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    expect(1u << bit);
    expect(~(1u << bit));
  }
  expect(0xffffffff);
}

TEST(BitPattern, NothingExcludedIsOnePattern) {
  EXPECT_EQ(everything_but({}), std::vector<BitPattern>{BitPattern{}});
}

TEST(BitPattern, EverythingExcludedIsNoPattern) {
  const BitPattern all[] = {BitPattern{}};
  EXPECT_TRUE(everything_but(all).empty());
}

}  // namespace
}  // namespace caisson::container
