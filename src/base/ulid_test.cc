#include "base/ulid.h"

#include <gtest/gtest.h>

#include <set>

#include "base/clock.h"

namespace caisson {
namespace {

TEST(Ulid, HasItsFormat) {
  const std::string id = make_ulid().value();
  EXPECT_EQ(id.size(), 26u);
  EXPECT_TRUE(is_ulid(id)) << id;
  EXPECT_EQ(id.front(), '0') << "48 bits of milliseconds begin with a zero until the year 3084";
}

TEST(Ulid, NothingElseIsOne) {
  const std::string id = make_ulid().value();
  EXPECT_FALSE(is_ulid(""));
  EXPECT_FALSE(is_ulid(id.substr(1)));
  EXPECT_FALSE(is_ulid(id + "0"));
  for (char c : {'i', 'l', 'o', 'u', 'A', '/', '.', ' ', '\0', '\xff'}) {
    std::string changed = id;
    changed[13] = c;
    EXPECT_FALSE(is_ulid(changed)) << c;
  }
}

TEST(Ulid, LaterOnesSortLater) {
  const std::string early = make_ulid().value();
  const std::int64_t begin = wall_ns();
  while (wall_ns() < begin + 2'000'000) {
  }
  EXPECT_LT(early, make_ulid().value());
}

TEST(Ulid, AllDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) ids.insert(make_ulid().value());
  EXPECT_EQ(ids.size(), 10'000u);
}

}  // namespace
}  // namespace caisson
