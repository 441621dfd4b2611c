// Watching files (inotify(7)) for a client.
#pragma once

#include "files/path.h"
#include "files/protocol.h"
#include "files/stream.h"

namespace caisson::files {

/// Answers with an empty data frame when the watch is there, then sends an event for each change,
/// until the client goes: that is the error it ends with.
Result<> watch(Stream& stream, const Root& root, const Request& request);

}  // namespace caisson::files
