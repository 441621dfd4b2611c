// What QEMU opens for writing, answered by the shim (seccomp_unotify(2)). QEMU 7.2 opens the file
// of its memory for writing even when it maps it privately; it gets a descriptor that can do no
// more than it may, and needs no right to the file.
#pragma once

#include <string>

#include "base/fd.h"

namespace caisson::vm {

/// The path by which QEMU is told of its memory; there is no such file.
constexpr const char* kMemoryPath = "/caisson/memory";
/// The number of the descriptor that it gets.
constexpr int kMemoryFd = 900;

/// The filter, as sys::install_seccomp_listener takes it. It also forbids what QEMU, which is given
/// its sockets, does not need: Landlock has no word on socket files, and io_uring has ways around
/// filters. `keeps_file`: that of the memory is one that does not change. `sockets`, for a trial:
/// those are allowed.
Result<std::string> opens_filter(bool keeps_file, bool sockets);

/// Answers a call that waits at `listener`, if there is one: kMemoryPath is `memory`, all else is
/// left to the kernel. Returns false when nobody can call any more.
bool answer_open(int listener, int memory);

}  // namespace caisson::vm
