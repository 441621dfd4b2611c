#include "engine/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::engine {
namespace {

using ::testing::HasSubstr;

store::BoxRow row() {
  store::BoxRow row;
  row.id = "01hq";
  row.name = "n";
  row.state = "stopped";
  row.spec_json = R"({"source":"host:","command":["true"]})";
  row.exit_json = R"({"reason":"exited","exit_code":3})";
  row.created_ns = 5;
  row.shim_pid = 7;
  return row;
}

TEST(Record, AWholeRow) {
  const Result<BoxInfo> info = info_of(row());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->state, BoxState::kStopped);
  EXPECT_EQ(info->spec.source, "host:");
  EXPECT_EQ(info->exit->exit_code, 3);
  EXPECT_FALSE(info->shim_pid) << "it may be another process by now";
  EXPECT_EQ(listed_info_of(row()), *info);
}

TEST(Record, ARowThatCannotBeReadIsAnErrorThatNamesTheBox) {
  std::vector<std::pair<std::string, store::BoxRow>> rows;
  const auto damage = [&](std::string store::BoxRow::* column, const char* name, const char* text) {
    rows.emplace_back(name, row());
    rows.back().second.*column = text;
  };
  damage(&store::BoxRow::state, "state", "dreaming");
  damage(&store::BoxRow::spec_json, "spec_json", "");
  damage(&store::BoxRow::spec_json, "spec_json", "{}");
  damage(&store::BoxRow::spec_json, "spec_json", "{\"source\":");
  damage(&store::BoxRow::exit_json, "exit_json", "{\"reason\":\"fun\"}");
  damage(&store::BoxRow::stages_json, "stages_json", "7");
  damage(&store::BoxRow::warnings_json, "warnings_json", "no");
  for (const auto& [column, damaged] : rows) {
    const Result<BoxInfo> info = info_of(damaged);
    ASSERT_FALSE(info) << column;
    EXPECT_EQ(info.error().reason, "state_corrupt");
    EXPECT_THAT(info.error().message, HasSubstr("box '01hq': column '" + column + "'"));
    const BoxInfo listed = listed_info_of(damaged);
    EXPECT_EQ(listed.state, BoxState::kFailed) << column;
    EXPECT_EQ(listed.error_reason, info.error().message);
    EXPECT_EQ(listed.name, "n");
    EXPECT_EQ(listed.created_ns, 5);
  }
}

TEST(Record, ABoxThatRunsIsListedSo) {
  store::BoxRow damaged = row();
  damaged.state = "running";
  damaged.spec_json = "?";
  const BoxInfo listed = listed_info_of(damaged);
  EXPECT_EQ(listed.state, BoxState::kRunning);
  EXPECT_EQ(listed.shim_pid, 7);
  EXPECT_THAT(listed.error_reason, HasSubstr("spec_json"));
}

}  // namespace
}  // namespace caisson::engine
