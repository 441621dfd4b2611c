#include "engine/box_state.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "base/unit_test_support.h"
#include "spec/names.h"
#include "store/state.h"

namespace caisson::engine {
namespace {

using enum BoxState;

TEST(BoxState, EveryPairOfStates) {
  const std::set<std::pair<BoxState, BoxState>> allowed = {
      {kConfigured, kStarting}, {kStarting, kRunning}, {kStarting, kStopped}, {kStarting, kFailed},
      {kRunning, kPaused},      {kRunning, kStopping}, {kRunning, kStopped},  {kPaused, kRunning},
      {kPaused, kStopping},     {kPaused, kStopped},   {kStopping, kStopped}, {kStopped, kStarting},
      {kFailed, kStarting}};
  for (const auto& [from, from_name] : spec::names(BoxState{}))
    for (const auto& [to, to_name] : spec::names(BoxState{}))
      EXPECT_EQ(can_transition(from, to), allowed.contains({from, to}))
          << from_name << " to " << to_name;
}

TEST(BoxState, EveryStateCanBeLeftAndOnlyTheFirstIsNeverEntered) {
  for (const auto& [state, name] : spec::names(BoxState{})) {
    bool left = false;
    for (const auto& [to, to_name] : spec::names(BoxState{})) left |= can_transition(state, to);
    EXPECT_TRUE(left) << name;
    EXPECT_EQ(states_before(state).empty(), state == kConfigured) << name;
  }
}

TEST(BoxState, Live) {
  const std::set<BoxState> live = {kStarting, kRunning, kPaused, kStopping};
  for (const auto& [state, name] : spec::names(BoxState{})) {
    EXPECT_EQ(is_live(state), live.contains(state)) << name;
    EXPECT_EQ(is_live(name), live.contains(state)) << name;
  }
  EXPECT_FALSE(is_live("hibernated"));
  EXPECT_FALSE(is_live(""));
}

TEST(BoxState, ListsForTheRecord) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(states_before(kStarting), (Names{"configured", "stopped", "failed"}));
  EXPECT_EQ(states_before(kStopped), (Names{"starting", "running", "paused", "stopping"}));
  EXPECT_EQ(states_before(kFailed), Names{"starting"});
}

TEST(BoxState, TheStoresLiveBoxesAreTheLiveStates) {
  const TestDirectory home;
  store::State state = store::State::open(home.path()).value();
  for (const auto& [value, name] : spec::names(BoxState{})) {
    store::BoxRow row;
    row.id = row.state = name;
    ASSERT_TRUE(state.insert(row));
  }
  std::set<std::string> live;
  const std::vector<store::BoxRow> rows = state.live().value();
  for (const store::BoxRow& row : rows) live.insert(row.state);
  const std::vector<std::string> expected = states_before(kStopped);
  EXPECT_EQ(live, (std::set<std::string>{expected.begin(), expected.end()}));
}

}  // namespace
}  // namespace caisson::engine
