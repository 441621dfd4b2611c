// The words of a system-call filter, which policies are read into and programs compiled from.
#pragma once

#include <cstdint>

namespace caisson {

enum class SeccompAction {
  kAllow,
  kErrno,  ///< the call fails with `value` as errno
  kKillProcess,
  kKillThread,
  kTrap,    ///< SIGSYS
  kTrace,   ///< a tracer gets `value`; without one the call fails with ENOSYS
  kNotify,  ///< whoever holds the filter's listener decides, seccomp_unotify(2)
  kLog,     ///< allowed and written to the kernel's audit log
};

struct SeccompDecision {
  SeccompAction action = SeccompAction::kErrno;
  std::uint16_t value = 0;  ///< 0 for actions that have none
  friend bool operator==(const SeccompDecision&, const SeccompDecision&) = default;
};

enum class SeccompCompare {
  kNotEqual,
  kLess,
  kLessEqual,
  kEqual,
  kGreaterEqual,
  kGreater,
  kMaskedEqual,  ///< (argument & value) == value_two
};

/// A comparison of all 64 bits of an argument. The kernel reads only 32 of many arguments (int,
/// unsigned): compare those with kMaskedEqual and 0xffffffff, or the upper bits evade the rule.
struct SeccompCondition {
  unsigned argument = 0;  ///< 0..5
  SeccompCompare compare = SeccompCompare::kEqual;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  friend bool operator==(const SeccompCondition&, const SeccompCondition&) = default;
};

}  // namespace caisson
