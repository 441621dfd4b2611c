// The memory of a machine that stands still, as a file.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/fd.h"

namespace caisson::vm {

/// Makes `to`, an empty file, what the process `qemu` sees of its mapping of the file `from`, of
/// `bytes`: the file's own content, and over it the pages that a private mapping has written
/// (proc(5), pagemap). Blocks are shared with `from` where the file system can. Needs the right to
/// read the process's memory (ptrace(2)). `disk_full`.
Result<> save_memory(pid_t qemu, int from, std::uint64_t bytes, int to);

/// Makes `to` the content of `from`, with its holes. `disk_full`.
Result<> copy_file(int from, int to, std::uint64_t bytes, const char* name);

}  // namespace caisson::vm
