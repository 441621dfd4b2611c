#include <gtest/gtest.h>

#include "trial/attack.h"

namespace caisson::trial {
namespace {

TEST(Report, TargetsSurviveTheWay) {
  const Target t{"/a b/c", "name", 80, 7, 9, 0xff, true, "boot", 1, 2, 3, 4, 5, 6};
  const Target back = decode(encode(t));
  EXPECT_EQ(encode(back), encode(t));
  EXPECT_EQ(back.canary, "/a b/c");
  EXPECT_EQ(back.boot, "boot");
  EXPECT_EQ(back.cpu_percent, 6u);
}

TEST(Report, IsReadWhole) {
  const auto found =
      parse_report(line_of({"files", ""}) + line_of({"network", "connected; twice"}) + "end\n")
          .value();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].broken, "");
  EXPECT_EQ(found[1].defence, "network");
  EXPECT_EQ(found[1].broken, "connected; twice");
}

TEST(Report, WithoutItsEndTheTrialDied) {
  for (const char* text : {"", "files\t\n", "files\t\nen", "end\nfiles\t\n"})
    EXPECT_EQ(parse_report(text).error().reason, "trial_died") << text;
}

}  // namespace
}  // namespace caisson::trial
