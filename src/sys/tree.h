// Removing directory trees.
#pragma once

#include <string>

#include "base/error.h"

namespace caisson::sys {

/// Deletes `name` in the directory `parent` and all below it, by descriptor: symbolic links are
/// removed, never followed, and other file systems are not entered. Any depth. Absent is success.
Result<> remove_tree(int parent, const std::string& name);

}  // namespace caisson::sys
