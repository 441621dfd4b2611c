// Creating the box that `run` and `create` were asked for.
#pragma once

#include "caisson/runtime.h"
#include "cli/box_options.h"

namespace caisson::cli {

/// Creates the box and writes its id into --cidfile, which must not exist yet. On an error
/// neither is left.
Result<Box> new_box(Runtime& runtime, const BoxOptions& options);

/// What `run -d` and `create` print about `box`.
int print_box(const Box& box, const BoxOptions& options);

}  // namespace caisson::cli
