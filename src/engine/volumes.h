// The host paths that a box is shown.
#pragma once

#include "base/error.h"
#include "caisson/spec.h"

namespace caisson::engine {

/// `spec` with every bind mount's source as it really is now, without symbolic links: what they
/// lead to may not change between the making of a box and its start, and a start refuses links.
/// Errors: `mount_source_missing`.
Result<BoxSpec> with_real_sources(BoxSpec spec);

}  // namespace caisson::engine
