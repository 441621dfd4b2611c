// Commands that take IMAGE...: every one is tried, whatever happened to the one before.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/runtime.h"

namespace caisson::cli {

/// Calls `use` with each name; its text goes to stdout. An error is printed, with `json` also as an
/// object, the rest goes on, and the exit status becomes 1.
int each_image(
    std::string_view command, const std::vector<std::string>& names, bool json,
    const std::function<Result<std::string>(Images& images, const std::string& name)>& use);

/// The one argument of a command that takes exactly one; `what` is its name in messages.
Result<std::string> only_argument(std::string_view command, std::string_view what,
                                  const std::vector<std::string>& arguments);

/// "Untagged: alpine:3.20\nDeleted: sha256:…\n"
std::string removed_text(const RemovedImages& removed);

}  // namespace caisson::cli
