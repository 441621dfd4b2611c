#include "caisson/exit_info.h"

#include <gtest/gtest.h>

#include <set>

#include "caisson/box.h"

namespace caisson {
namespace {

TEST(ShellStatus, IsWhatAShellWouldShow) {
  EXPECT_EQ(shell_status({.reason = ExitReason::kExited, .exit_code = 0}), 0);
  EXPECT_EQ(shell_status({.reason = ExitReason::kExited, .exit_code = 7}), 7);
  EXPECT_EQ(shell_status({.reason = ExitReason::kSignaled, .signal = 11}), 139);
  EXPECT_EQ(shell_status({.reason = ExitReason::kTimeout, .signal = 9}), 124);
  EXPECT_EQ(shell_status({.reason = ExitReason::kTimeout, .exit_code = 0}), 124);
  EXPECT_EQ(shell_status({.reason = ExitReason::kCpuTime, .signal = 9}), 124);
  EXPECT_EQ(shell_status({.reason = ExitReason::kOom, .signal = 9}), 137);
  EXPECT_EQ(shell_status({.reason = ExitReason::kPids, .exit_code = 2}), 2);
  EXPECT_EQ(shell_status({.reason = ExitReason::kKilled}), 137);
  EXPECT_EQ(shell_status({.reason = ExitReason::kLost}), 125);
}

TEST(Names, EveryReasonAndStateHasItsOwn) {
  std::set<std::string_view> reasons, states;
  for (int i = 0; i <= static_cast<int>(ExitReason::kHibernated); ++i)
    reasons.insert(to_string(static_cast<ExitReason>(i)));
  for (int i = 0; i <= static_cast<int>(BoxState::kFailed); ++i)
    states.insert(to_string(static_cast<BoxState>(i)));
  EXPECT_EQ(reasons.size(), 11u);
  EXPECT_EQ(states.size(), 7u);
  EXPECT_FALSE(reasons.contains("unknown"));
  EXPECT_FALSE(states.contains("unknown"));
  EXPECT_EQ(to_string(ExitReason::kCpuTime), "cpu_time");
  EXPECT_EQ(to_string(BoxState::kConfigured), "configured");
}

}  // namespace
}  // namespace caisson
