// Messages between the shim and the box's first process, which are one program: plain structs over
// a SOCK_SEQPACKET pair.
#pragma once

#include <cstdint>

namespace caisson::init {

enum class InitOp : std::uint32_t {
  // shim → init
  kExec = 1,    ///< with descriptors: block, stdin, stdout, stderr, status pipe
  kSignal = 2,  ///< `value` to the process `id`; to its whole session with `group`
  kPause = 4,   ///< stop everything (`value` 1) or let it go on (0); where there is no freezer
  kEnd = 3,     ///< end everything, account for it, and go
  // init → shim
  kReady = 16,    ///< with descriptors: root, /dev/pts; then warnings as text
  kFailed = 17,   ///< set-up failed; the error follows as text
  kStarted = 18,  ///< `value` is the process id inside, or a negative errno
  kEnded = 19,    ///< `value` is the wait status
};

struct InitMessage {
  InitOp op;
  std::uint32_t id;  ///< of the exec, chosen by the shim
  std::int32_t value;
  std::uint32_t group;
  std::int64_t cpu_user_ns, cpu_system_ns;  ///< of an ended process and its reaped children
};

}  // namespace caisson::init
