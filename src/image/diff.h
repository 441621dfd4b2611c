// Diff: what distinguishes two stacks of layers, as a box sees them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "caisson/snapshot.h"

namespace caisson::image {

/// Calls `found` for each difference, parents first. `before` and `after` are trees, topmost first.
/// Directories that come from the same trees on both sides are not looked into, so the cost is that
/// of what may differ. Nothing in a tree is followed.
Result<> compare_layers(const std::vector<std::string>& before,
                        const std::vector<std::string>& after,
                        const std::function<Result<>(const Change&)>& found);

}  // namespace caisson::image
