// Creating the box that `run` and `create` were asked for.
#pragma once

#include <optional>

#include "caisson/runtime.h"
#include "cli/box_options.h"

namespace caisson::cli {

/// Pulls an image that a registry has and this home may lack, and shows how. What a file or a
/// directory has is pulled when the box is made: its manifest is looked at each time, and once is
/// enough. An exit status: it failed, which has been said.
std::optional<int> pull_source(Runtime& runtime, BoxOptions& options);

/// Creates the box and writes its id into --cidfile, which must not exist yet. On an error
/// neither is left.
Result<Box> new_box(Runtime& runtime, const BoxOptions& options);

/// What `run -d` and `create` print about `box`.
int print_box(const Box& box, const BoxOptions& options);

}  // namespace caisson::cli
