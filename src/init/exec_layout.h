// What a new process is made from, as bytes: the block that the shim prepares, and the report of
// what failed. Offsets are from the start of the block; shim, init and launcher are built together,
// so no byte order or version is needed. Free of the standard library's runtime: the launcher has
// none.
#pragma once

#include <cerrno>
#include <cstdint>

namespace caisson::init {

struct ExecHeader {
  std::uint64_t size;
  /// Arrays of u64 offsets of strings, ended by 0. The words: kFirstWord, the paths to try in turn,
  /// an empty one, argv.
  std::uint64_t words, env;
  std::uint64_t workdir;
  std::uint64_t groups, group_count;  ///< u32
  std::uint64_t limits, limit_count;  ///< LimitEntry
  std::uint64_t capabilities, bounding;
  std::uint32_t uid, gid;
  std::uint8_t set_groups, no_new_privileges, terminal;
  std::uint8_t unfiltered;    ///< the system call filter is left out
  std::uint8_t serves_files;  ///< nothing is executed: it serves files
  std::uint8_t own_ids;       ///< the ids stay, and no namespace is entered
  std::uint8_t attacks;       ///< nothing is executed: it attacks the host (trial/attack.h)
  std::uint8_t leaks;         ///< for a trial: a descriptor stays open
};

struct LimitEntry {
  std::uint64_t resource, soft, hard;
};

/// Where the launcher finds the number of the status descriptor.
inline constexpr char kFirstWord[] = "0000000000";

/// Where a child failed; the wire values of the status pipe.
enum class ExecStep : std::uint32_t {
  kFork = 1,
  kReceive,
  kSession,
  kStdio,
  kLimits,
  kUserNamespace,
  kGroups,
  kIds,
  kBounding,
  kCapabilities,
  kNoNewPrivileges,
  kSeccomp,
  kWorkdir,
  kExec,
  kLandlock,
};
struct ExecFailure {
  ExecStep step;
  std::int32_t error;  ///< errno
};

/// Executes the first of the paths in `words` (from the second word of a block) that can be;
/// `execve` returns an errno. Returns only when there is none, with the errno to report: as a shell
/// does, it goes on looking, and remembers that something was there.
template <class Execve>
int execute_first(char** words, char** env, Execve execve) noexcept {
  char** argv = words;
  while (**argv != '\0') ++argv;
  ++argv;
  int error = ENOENT;
  for (char** path = words; **path != '\0'; ++path) {
    const int now = execve(*path, argv, env);
    if (now != ENOENT && now != ENOTDIR) error = now;
    if (now != ENOENT && now != ENOTDIR && now != EACCES) break;
  }
  return error;
}

}  // namespace caisson::init
