#include "sys/idmap.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace caisson::sys {
namespace {

constexpr std::uint32_t kCount = kIdsPerBox;

/// Everything that a swap promises, by trying every id.
void expect_swap(std::uint32_t owner, std::uint32_t user) {
  SCOPED_TRACE(testing::Message() << owner << " and " << user);
  const std::vector<IdRange> lines = swap_map(owner, user, kCount);
  EXPECT_LE(lines.size(), 5u);
  EXPECT_LE(lines.size(), kMostExtents);
  std::set<std::uint32_t> seen;
  for (std::uint32_t id = 0; id < kCount; ++id) {
    const std::uint32_t to = mapped(lines, id);
    if (owner >= kCount && id == user) {
      EXPECT_EQ(to, UINT32_MAX);
      continue;
    }
    const std::uint32_t expected = id == owner ? user : id == user ? owner : id;
    ASSERT_EQ(to, expected);
    ASSERT_TRUE(seen.insert(to).second);
    if (owner < kCount) {
      ASSERT_EQ(mapped(lines, to), id);  // an involution
    }
  }
  EXPECT_EQ(mapped(lines, owner), user);
  // The kernel refuses lines that overlap on either side.
  for (const IdRange& a : lines)
    for (const IdRange& b : lines)
      if (&a != &b) {
        EXPECT_TRUE(a.inside + a.count <= b.inside || b.inside + b.count <= a.inside);
        EXPECT_TRUE(a.outside + a.count <= b.outside || b.outside + b.count <= a.outside);
      }
}

TEST(SwapMap, EdgesOfTheRange) {
  for (std::uint32_t a : {0u, 1u, 2u, 501u, 1000u, 65533u, 65534u, 65535u})
    for (std::uint32_t b : {0u, 1u, 2u, 501u, 1000u, 65533u, 65534u, 65535u}) expect_swap(a, b);
}

TEST(SwapMap, OwnersOutsideOfTheRange) {
  for (std::uint32_t owner : {65536u, 100'000u, 4'294'967'294u})
    for (std::uint32_t user : {0u, 1000u, 65535u}) expect_swap(owner, user);
}

TEST(SwapMap, RandomPairs) {
  std::mt19937 random(7);
  for (int i = 0; i < 40; ++i)
    expect_swap(static_cast<std::uint32_t>(random() % kCount),
                static_cast<std::uint32_t>(random() % kCount));
}

TEST(SwapMap, TheSameIdIsTheIdentity) {
  EXPECT_EQ(swap_map(7, 7, kCount), (std::vector<IdRange>{{0, 0, kCount}}));
}

TEST(Without, LeavesEverythingElse) {
  for (std::uint32_t gone : {0u, 1u, 501u, 65535u}) {
    const auto lines = without(swap_map(501, 0, kCount), gone);
    for (std::uint32_t id = 0; id < kCount; ++id)
      ASSERT_EQ(mapped(lines, id), id == gone ? UINT32_MAX : mapped(swap_map(501, 0, kCount), id));
  }
}

TEST(Compose, IsOneMapAfterTheOther) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    // A base of several lines, as subuid(5) gives them.
    std::vector<IdRange> base;
    std::uint32_t inside = 0, outside = 100'000;
    for (int i = 0; i < 5; ++i) {
      const auto count = static_cast<std::uint32_t>(1 + random() % 20'000);
      base.push_back({inside, outside, count});
      inside += count;
      outside += count + static_cast<std::uint32_t>(random() % 1000);
    }
    const auto swap = swap_map(static_cast<std::uint32_t>(random() % kCount),
                               static_cast<std::uint32_t>(random() % kCount), kCount);
    const auto both = compose(swap, base);
    EXPECT_LE(both.size(), kMostExtents);
    for (const IdRange& line : both)
      EXPECT_TRUE(std::any_of(base.begin(), base.end(), [&](const IdRange& one) {
        return line.outside >= one.outside && line.outside + line.count <= one.outside + one.count;
      })) << "a line across two of the base";
    for (int i = 0; i < 2000; ++i) {
      const auto id = static_cast<std::uint32_t>(random() % (kCount + 10));
      const std::uint32_t between = mapped(swap, id);
      EXPECT_EQ(mapped(both, id), between == UINT32_MAX ? UINT32_MAX : mapped(base, between));
    }
  }
}

}  // namespace
}  // namespace caisson::sys
