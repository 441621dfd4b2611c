#include "cli/ending.h"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using namespace std::chrono_literals;

Limits sample() {
  Limits limits;
  limits.wall_time = 1s;
  limits.cpu_time = 250ms;
  limits.memory_bytes = 64u << 20;
  limits.pids = 5;
  limits.disk_bytes = 1000;
  limits.output.max_bytes = 3u << 10;
  return limits;
}

TEST(EndingText, NamesTheLimit) {
  const Limits limits = sample();
  EXPECT_EQ(ending_text(ExitReason::kTimeout, limits), "ended by its time limit (1s)");
  EXPECT_EQ(ending_text(ExitReason::kCpuTime, limits),
            "ended by its limit of processor time (250ms)");
  EXPECT_EQ(ending_text(ExitReason::kOom, limits), "ran out of memory (limit 64m)");
  EXPECT_EQ(ending_text(ExitReason::kPids, limits),
            "failed after the limit on processes refused one (limit 5)");
  EXPECT_EQ(ending_text(ExitReason::kOutputLimit, limits), "wrote more than its output limit (3k)");
  EXPECT_EQ(ending_text(ExitReason::kDiskFull, limits), "used up its disk limit (1000)");
}

TEST(EndingText, ADefaultHasNoFigure) {
  EXPECT_EQ(ending_text(ExitReason::kOom, {}), "ran out of memory");
  EXPECT_EQ(ending_text(ExitReason::kKilled, {}), "stopped or killed");
  EXPECT_NE(ending_text(ExitReason::kLost, {}), "");
}

TEST(EndingText, AProgramsOwnEndNeedsNone) {
  EXPECT_EQ(ending_text(ExitReason::kExited, sample()), "");
  EXPECT_EQ(ending_text(ExitReason::kSignaled, sample()), "");
}

TEST(TellEnding, NotWhoAskedForIt) {
  ForegroundEnd end;
  end.exit = ExitInfo{};
  end.exit->reason = ExitReason::kKilled;
  const auto told = [&] {
    testing::internal::CaptureStderr();
    tell_ending("box '01'", end, sample());
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(told(), "caisson: box '01': stopped or killed\n");
  end.asked = true;
  EXPECT_EQ(told(), "");
  end.exit->reason = ExitReason::kTimeout;
  EXPECT_EQ(told(), "caisson: box '01': ended by its time limit (1s)\n");
  end.exit.reset();
  EXPECT_EQ(told(), "");
}

}  // namespace
}  // namespace caisson::cli
