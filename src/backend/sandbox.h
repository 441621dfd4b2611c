// Sandbox: the interface that every isolation implements, inside the shim. Single-threaded; driven
// by the shim's event loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "caisson/box.h"
#include "caisson/exit_info.h"
#include "caisson/spec.h"

namespace caisson::backend {

/// The ends of a process's standard streams that the process itself gets.
struct Stdio {
  Fd in, out, err;
};

/// A pseudo-terminal in the box: the shim's side and the process's side.
struct Terminal {
  Fd master, slave;
};

/// What to run. Everything is final: the box's defaults have been applied.
struct ProcessSpec {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string workdir;
  std::string user;  ///< `UID[:GID]` or names of the box's own files
  std::vector<std::string> groups;
  bool terminal = false;
  bool attacks = false;  ///< no program: the attacks of a trial
};

/// For Runtime::probe: the main process attacks the host (trial/attack.h).
struct Trial {
  std::string target;   ///< trial::encode
  std::string without;  ///< the defence to leave out, which must be found missing; empty: none
  friend bool operator==(const Trial&, const Trial&) = default;
};

using ProcessId = std::uint32_t;
constexpr ProcessId kMainProcess = 1;

/// Something that happened to a process.
struct ProcessEvent {
  enum class Kind { kStarted, kFailed, kEnded } kind = Kind::kStarted;
  ProcessId id = 0;
  std::optional<Error> error;  ///< kFailed: why it could not be started
  int status = 0;              ///< kEnded: as of wait(2)
  std::chrono::nanoseconds cpu_user{0}, cpu_system{0};
};

struct Started {
  int shim_pid = 0, init_pid = 0;
  std::int64_t started_ns = 0;  ///< when the main process began, since the Unix epoch
  std::vector<StageTiming> stages;
  std::vector<std::string> warnings;
};

class Sandbox {
 public:
  virtual ~Sandbox() = default;

  /// Builds the sandbox up to the point where processes can be spawned.
  virtual Result<Started> start() = 0;
  /// Asks for a process; its fate arrives as events.
  virtual Result<> spawn(ProcessId id, const ProcessSpec& spec, Stdio stdio) = 0;
  /// Asks for a process that serves the box's files to the client behind `socket`
  /// (files/service.h); its fate arrives as events.
  virtual Result<> serve_files(ProcessId id, Fd socket) = 0;
  virtual Result<Terminal> open_terminal(const std::string& user) = 0;
  /// To one process, or with `group` to its whole session.
  virtual Result<> signal(ProcessId id, int number, bool group) = 0;

  /// A descriptor that polls readable when `events` has something; the same all the time.
  virtual int event_fd() const = 0;
  virtual std::vector<ProcessEvent> events() = 0;
  /// True once every process of the sandbox is gone.
  virtual bool gone() const = 0;

  /// What happened to its processes cannot be known any more.
  virtual bool lost() const { return false; }

  /// Stops every process where it is; returns when all stand still. `freeze_timeout`.
  virtual Result<> pause() = 0;
  virtual Result<> resume() = 0;
  /// Writes what another sandbox can go on from to a directory (backend::SaveRequest).
  virtual Result<> save(int directory, bool memory, bool stay) {
    (void)directory, (void)memory, (void)stay;
    return make_error(Code::kUnimplemented, "isolation_unsupported",
                      "save box: only one of the isolation 'microvm' can be");
  }
  /// The highest number that a process of it has from before its start.
  virtual ProcessId last_id() const { return kMainProcess; }
  /// Ends every process, and accounts for each; `gone` becomes true by a later event.
  virtual void end() = 0;
  /// The same by force, for a sandbox that does not answer: what it has used may not all be known.
  virtual void kill_all() = 0;
  /// Figures now, or after the end the totals.
  virtual Usage usage() = 0;
  virtual std::uint64_t oom_kills() = 0;
  virtual std::uint64_t pid_limit_hits() = 0;
  /// User and system time so far of everything in the box.
  virtual std::chrono::nanoseconds cpu_time() = 0;
  /// Bytes the writable layer holds; absent when no disk limit was asked for.
  virtual std::optional<std::uint64_t> disk_bytes() = 0;
  /// Releases what outlives the processes (cgroups). Idempotent.
  virtual Result<> cleanup() = 0;
};

}  // namespace caisson::backend
