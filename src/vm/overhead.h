// What a machine's process takes of the host.
#pragma once

#include <sys/types.h>

#include "caisson/exit_info.h"

namespace caisson::vm {

/// Adds to figures of the box what the process takes beyond them; nothing where it cannot be read.
void add_overhead(pid_t process, Usage& usage);

}  // namespace caisson::vm
