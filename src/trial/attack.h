// What a box tries against its host when `caisson doctor` asks whether the isolation holds. The
// code runs in a box, in the place of its main process, after that has given up everything a
// program would not have. A defence holds when every attempt on it fails.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace caisson::trial {

/// What there is to attack on the host, and which limits the box has; 0: none.
struct Target {
  std::string canary;              ///< a directory with the file `secret` and the socket `socket`
  std::string abstract_name;       ///< of a listening Unix socket, without the leading NUL
  std::uint16_t tcp_port = 0;      ///< listening on 127.0.0.1
  int pid = 0;                     ///< a process of the same user
  int shm_id = -1;                 ///< a System V segment, shmget(2)
  std::uint64_t capabilities = 0;  ///< that root in the box may have
  bool own_proc = false;           ///< the box has a /proc of its own, with masks
  std::string boot;                ///< the host's (random(4)), for a guest; empty: it is no guest
  std::uint64_t memory_bytes = 0, pids = 0, open_files = 0, file_size_bytes = 0, tmpfs_bytes = 0;
  std::uint64_t cpu_percent = 0;
};
std::string encode(const Target& target);
Target decode(std::string_view text);

/// What came of one defence: empty `broken` means that it holds.
struct Finding {
  std::string defence;
  std::string broken;  ///< the attempts that succeeded
};
/// As a line of the report.
std::string line_of(const Finding& finding);
/// What the attacks wrote. A trial that died has no last line: `trial_died`.
Result<std::vector<Finding>> parse_report(std::string_view text);

/// Attacks, and writes the report to `out`.
void attack(std::string_view target, int out);

}  // namespace caisson::trial
