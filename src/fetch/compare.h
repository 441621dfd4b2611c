// Comparing two trees file by file.
#pragma once

#include <string>

#include "base/error.h"

namespace caisson::fetch {

/// How the tree at `found` differs from the one at `wanted`: the first difference in the order of
/// names, as one line, or empty when they are equal in types, modes, owners, sizes, times, devices,
/// link targets, allowed extended attributes, overlayfs's and ours, and contents.
Result<std::string> compare_trees(int wanted, int found);

}  // namespace caisson::fetch
