// Commands that take BOX...: every box is tried, whatever happened to the one before.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/runtime.h"

namespace caisson::cli {

/// Calls `use` with each box; its text goes to stdout. An error is printed, the rest goes on,
/// and the exit status becomes 1.
int each_box(std::string_view command, const std::vector<std::string>& names,
             const std::function<Result<std::string>(Box& box, const std::string& name)>& use);

/// The one box of a command that takes exactly one.
Result<Box> only_box(std::string_view command, const std::vector<std::string>& names,
                     Runtime& runtime);

}  // namespace caisson::cli
