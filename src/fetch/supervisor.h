// The supervisor: the one process of caisson-fetch that keeps privileges. It starts the source and
// the unpackers, passes on what they say, and vouches for what it saw itself: which unpacker ended
// well.
#pragma once

#include "base/fd.h"

namespace caisson::fetch {

/// Serves the one request that comes on `control`; the exit status. 0: FetchDone was sent, and
/// every process that could write is gone.
int run_supervisor(Fd control);

}  // namespace caisson::fetch
