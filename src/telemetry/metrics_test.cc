#include "telemetry/metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/fd.h"
#include "base/unit_test_support.h"

namespace caisson::telemetry {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

TEST(Metrics, AllProcessesCountInOneFile) {
  const TestDirectory home;
  const Metrics one(home.path()), two(home.path());
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) two.add(Counter::kExecsStarted);
  });
  for (int i = 0; i < 1000; ++i) one.add(Counter::kExecsStarted);
  other.join();
  one.ended(ExitReason::kLost);
  EXPECT_EQ(two.value(Counter::kExecsStarted), 2000u);
  const std::string text = Metrics(home.path()).text();
  EXPECT_THAT(text, HasSubstr("\ncaisson_execs_started_total 2000\n"));
  EXPECT_THAT(text, HasSubstr("caisson_boxes_ended_total{reason=\"lost\"} 1\n"));
}

TEST(Metrics, TimesAreInBuckets) {
  const TestDirectory home;
  const Metrics metrics(home.path());
  metrics.observe_stage("plan", 1ms);  // on a border: in the bucket that ends there
  metrics.observe_stage("plan", 30s);
  metrics.observe_stage("no such stage", 1s);
  const std::string text = metrics.text();
  EXPECT_THAT(text,
              HasSubstr("caisson_start_stage_seconds_bucket{stage=\"plan\",le=\"0.0005\"} 0\n"));
  EXPECT_THAT(text,
              HasSubstr("caisson_start_stage_seconds_bucket{stage=\"plan\",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("caisson_start_stage_seconds_bucket{stage=\"plan\",le=\"10\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("caisson_start_stage_seconds_bucket{stage=\"plan\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("caisson_start_stage_seconds_sum{stage=\"plan\"} 30.001000000\n"));
  EXPECT_THAT(text, HasSubstr("caisson_start_stage_seconds_count{stage=\"plan\"} 2\n"));
}

TEST(Metrics, AFileOfAnotherKindIsLeftAlone) {
  const TestDirectory home;
  const std::string other(8192, 'x');
  ASSERT_TRUE(replace_file(AT_FDCWD, home / "metrics", other, 0600));
  const Metrics metrics(home.path());
  metrics.add(Counter::kForks);
  EXPECT_EQ(metrics.value(Counter::kForks), 0u);
  EXPECT_EQ(*read_file(home / "metrics"), other);
  const Metrics nowhere("/nonexistent");
  nowhere.add(Counter::kForks);
  EXPECT_THAT(nowhere.text(), HasSubstr("caisson_boxes_forked_total 0\n"));
}

}  // namespace
}  // namespace caisson::telemetry
