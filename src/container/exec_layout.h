// The bytes of an ExecBlock. Offsets are from the start of the block; shim and init are the same
// program, so no byte order or version is needed.
#pragma once

#include <cstdint>

namespace caisson::container {

struct ExecHeader {
  std::uint64_t size;
  std::uint64_t argv, env, candidates;  ///< arrays of u64 offsets of strings, ended by 0
  std::uint64_t workdir;
  std::uint64_t groups, group_count;  ///< u32
  std::uint64_t limits, limit_count;  ///< LimitEntry
  std::uint64_t capabilities, bounding;
  std::uint32_t uid, gid;
  std::uint8_t set_groups, no_new_privileges, terminal;
};

struct LimitEntry {
  std::uint64_t resource, soft, hard;
};

}  // namespace caisson::container
