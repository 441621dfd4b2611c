#include "engine/box_state.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "spec/names.h"

namespace caisson::engine {
namespace {

using enum BoxState;

/// The record is what all processes agree on: each arrow is a compare-and-set on it.
constexpr std::pair<BoxState, BoxState> kArrows[] = {
    {kConfigured, kStarting},
    {kStopped, kStarting},
    {kFailed, kStarting},
    {kStarting, kRunning},
    {kStarting, kFailed},
    // A short box may end before its starter has written that it runs.
    {kStarting, kStopped},
    {kRunning, kPaused},
    {kPaused, kRunning},
    {kRunning, kStopping},
    {kPaused, kStopping},
    {kRunning, kStopped},
    {kPaused, kStopped},
    {kStopping, kStopped}};

}  // namespace

bool can_transition(BoxState from, BoxState to) {
  return std::ranges::find(kArrows, std::pair(from, to)) != std::end(kArrows);
}

bool is_live(BoxState state) { return can_transition(state, BoxState::kStopped); }

bool is_live(std::string_view state) {
  const std::optional<BoxState> known = spec::find_named<BoxState>(state);
  return known && is_live(*known);
}

std::vector<std::string> states_before(BoxState to) {
  std::vector<std::string> result;
  for (const auto& [from, name] : spec::names(BoxState{}))
    if (can_transition(from, to)) result.emplace_back(name);
  return result;
}

}  // namespace caisson::engine
