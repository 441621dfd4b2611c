// The two clocks, in nanoseconds.
#pragma once

#include <time.h>

#include <cstdint>

namespace caisson {

inline std::int64_t clock_ns(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
/// Since the Unix epoch; for records.
inline std::int64_t wall_ns() { return clock_ns(CLOCK_REALTIME); }
/// For durations; CLOCK_BOOTTIME so that every process of one boot shares it, suspend included.
inline std::int64_t boot_ns() { return clock_ns(CLOCK_BOOTTIME); }

}  // namespace caisson
