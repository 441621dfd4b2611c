// Removing and moving directory trees.
#pragma once

#include <string>

#include "base/error.h"

namespace caisson::sys {

/// Deletes `name` in the directory `parent` and all below it, by descriptor: symbolic links are
/// removed, never followed, and other file systems are not entered. Any depth. Absent is success.
Result<> remove_tree(int parent, const std::string& name);

/// Moves a tree of ours to a place where nothing is; when something is there, it stays as it is and
/// so does ours, which is no error.
Result<> move_tree(const std::string& from, const std::string& to);

}  // namespace caisson::sys
