// What a box's row says, read. Pure.
#pragma once

#include "base/error.h"
#include "caisson/box.h"
#include "store/state.h"

namespace caisson::engine {

/// Errors of all: `state_corrupt`, which names the box and the column.
Result<BoxSpec> spec_of(const store::BoxRow& row);
/// Without a recorded end: lost.
Result<ExitInfo> exit_of(const store::BoxRow& row);
Result<BoxInfo> info_of(const store::BoxRow& row);

/// The same for a list, which a damaged row must not end: such a box shows what can be read of it,
/// the error as its `error_reason`, and the state `failed` unless it runs.
BoxInfo listed_info_of(const store::BoxRow& row);

}  // namespace caisson::engine
