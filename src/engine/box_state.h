// The states of a box and the transitions between them: the one table. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "caisson/box.h"

namespace caisson::engine {

/// Whether a box's record may go from one state to the other.
bool can_transition(BoxState from, BoxState to);
/// Whether the state means that a shim should be there.
bool is_live(BoxState state);
/// The same of a record's text; a state that this version does not know is not live.
bool is_live(std::string_view state);

/// The states from which a box may enter `to`, as a record spells them.
std::vector<std::string> states_before(BoxState to);

}  // namespace caisson::engine
