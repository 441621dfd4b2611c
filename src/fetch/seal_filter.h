// The system calls of sealed processes.
#pragma once

#include "base/error.h"

namespace caisson::fetch {

/// Only what reading, decompressing and making a tree need; everything else fails with EPERM.
Result<> install_unpacker_filter();
/// Everything but what a network client has no use for and an intruder has.
Result<> install_source_filter(bool network);

}  // namespace caisson::fetch
