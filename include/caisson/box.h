// Box: an isolated environment with one main process.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "caisson/exec.h"
#include "caisson/exit_info.h"
#include "caisson/files.h"
#include "caisson/log.h"
#include "caisson/result.h"
#include "caisson/snapshot.h"
#include "caisson/spec.h"

namespace caisson {

/// `configured → starting → running ⇄ paused → stopping → stopped`, and `failed`.
enum class BoxState { kConfigured, kStarting, kRunning, kPaused, kStopping, kStopped, kFailed };
std::string_view to_string(BoxState state);

/// How long a named stage of the start took.
struct StageTiming {
  std::string name;
  std::chrono::nanoseconds duration{0};
  friend bool operator==(const StageTiming&, const StageTiming&) = default;
};

/// What the health check found last.
enum class HealthState { kNone, kStarting, kHealthy, kUnhealthy };
std::string_view to_string(HealthState state);

/// Where to go on with the output of a process: bytes of each stream that the caller has had.
struct AttachOptions {
  /// Of Exec::id(); absent: the main process.
  std::optional<std::uint32_t> exec;
  /// Absent: only what comes from now on.
  std::optional<std::uint64_t> stdout_offset, stderr_offset;
};

/// A box as its record and the kernel show it. Times are nanoseconds since the Unix epoch.
struct BoxInfo {
  std::string id;    ///< a lower-case ULID (26 characters)
  std::string name;  ///< may be empty
  BoxState state = BoxState::kConfigured;
  BoxSpec spec;  ///< what the image gives is filled in; in a list, without a source when the record
                 ///< cannot be read
  std::string error_reason;  ///< the full text of the cause: state failed, reason lost
  std::optional<ExitInfo> exit;
  std::string image_id;  ///< digest of the image's manifest; empty without an image
  std::int64_t created_ns = 0;
  std::optional<std::int64_t> started_ns;
  std::optional<std::int64_t> finished_ns;
  std::optional<int> shim_pid;
  std::optional<int> init_pid;  ///< as the host sees it
  unsigned restarts = 0;        ///< since the last start() by a caller
  bool restarting = false;      ///< it has ended and waits for its next start
  HealthState health = HealthState::kNone;
  std::string health_output;  ///< of the last check, its first 4 KiB
  std::vector<StageTiming> stages;
  std::vector<std::string> warnings;  ///< e.g. defaults this host could not enforce
  friend bool operator==(const BoxInfo&, const BoxInfo&) = default;
};
/// JSON object of `info`, as printed by `caisson inspect`.
std::string to_json(const BoxInfo& info);
std::string to_json(const ExitInfo& info);
std::string to_json(const Usage& usage);

/// A handle on a box. Cheap to copy; thread-safe. It stays valid after the box is removed
/// (calls then fail with kNotFound).
///
///     auto box = runtime->create(spec);
///     box->start();
///     auto end = box->wait();
///     box->remove();
class Box {
 public:
  class Impl;
  explicit Box(std::shared_ptr<const Impl> impl);

  const std::string& id() const;

  /// Starts the main process and returns when it runs. Errors with reasons
  /// `program_not_found`, `program_not_executable`, `user_unknown`, `workdir_unusable`,
  /// `limit_unsupported`, `source_missing`, ... leave the box `failed` with nothing running.
  Result<> start();
  /// Like start, and returns the main process attached from its first byte.
  Result<Exec> start_attached();
  /// Attaches to a running process: the main one (stdin if `open_stdin`), or an exec with
  /// `replay_bytes`, also when it has ended already. Nothing is lost or doubled within what is
  /// kept; where more was asked for than that, Exec::offset tells what the first byte is.
  /// `exec_not_found`.
  Result<Exec> attach(const AttachOptions& options = {});
  /// Runs one more process in the running box.
  Result<Exec> exec(const ExecSpec& spec);

  /// Stops every process of the box where it is: no CPU time passes and wall-time limits stop
  /// counting until `resume`. Nothing happens when it is paused. By the cgroup freezer; without one
  /// by SIGSTOP. `box_not_running`, `freeze_timeout`.
  Result<> pause();
  /// Lets a paused box go on. Nothing happens when it runs. One that hibernates is started.
  Result<> resume();
  /// Writes a running microVM's memory to disk, and ends the machine: processes, open files and
  /// timers go on at the next start, which time has passed for. Until then the box is `stopped`,
  /// with ExitReason::kHibernated. Connections to it end; an exec goes on without its client.
  /// `memory_unsaveable`: it is no microVM, is removed at its end, or shows files of the host.
  Result<> hibernate();

  /// Sends a signal to the main process. In a paused box it waits for the resuming; SIGKILL resumes
  /// it.
  Result<> signal(int number);
  /// Sends the stop signal, waits up to `grace`, then kills everything. No error if stopped.
  Result<> stop(std::chrono::nanoseconds grace = std::chrono::seconds(10));
  /// Kills everything in the box at once and waits until it is gone.
  Result<> kill();
  /// Waits until the main process has ended and the box is `stopped`.
  Result<ExitInfo> wait(Deadline deadline = {});
  /// Deletes the box: record, files, logs. kFailedPrecondition when it runs, unless `force`.
  Result<> remove(bool force = false);

  /// Keeps the files as they are now under `name` (like a box's name; empty: the snapshot's id). A
  /// box that runs stands still for it. On disk when this returns. What boxes of `--rootfs overlay`
  /// have written is not copied unless the box runs; copies share blocks where the file system can.
  /// With `memory` that of a running microVM too: who is restored to it, or forked from it, goes on
  /// with its processes when it is started. `name_invalid`, `snapshot_exists`, `disk_full`,
  /// `freeze_timeout`, `box_busy`, `memory_unsaveable` (see hibernate).
  Result<SnapshotInfo> snapshot(std::string_view name = {}, std::string_view note = {},
                                bool memory = false);
  /// Oldest first.
  Result<std::vector<SnapshotInfo>> snapshots() const;
  /// By name or id. `snapshot_not_found`.
  Result<SnapshotInfo> find_snapshot(std::string_view name) const;
  Result<> remove_snapshot(std::string_view name);
  /// Puts the files back to what they were, at once or not at all: what was written since is gone.
  /// A box that runs is killed and started again. `snapshot_not_found`, `box_running` (it runs and
  /// would be removed with its end), and the errors of start().
  Result<> restore(std::string_view name);
  /// New boxes with the same spec and files, each with a future of its own; none is started, and
  /// none has a name. All or none. A box that runs stands still for it. Of a microVM that runs, and
  /// shows no files of the host, the processes go on in each when it is started; what they do not
  /// write of their memory they share. `count_invalid`, and the errors of snapshot().
  Result<std::vector<Box>> fork(const ForkOptions& options = {});
  /// What distinguishes its files from its image's, or from those of a snapshot.
  Result<std::vector<Change>> diff(std::string_view snapshot = {}) const;

  /// Makes an image of the box as it is: its image's layers, and what it has changed as one more;
  /// with the command, environment and so on of its spec. A box that runs stands still for it. A
  /// box of `dir:` becomes an image of one layer. `name`: as for `caisson image tag`; empty: none.
  /// Returns the image's id. `no_image` (a box of `host:` has none).
  Result<std::string> commit(std::string_view name = {}, std::string_view comment = {});
  /// Writes the box as one archive: spec, image and files (docs/formats/archive.md). A box that
  /// runs stands still for it. Snapshots, volumes and logs are not in it.
  Result<> export_to(int fd);
  /// The files of the box, whatever its state; a paused one is `box_paused`. `box_busy`.
  Result<Files> files();

  Result<BoxInfo> info() const;
  Result<Usage> stats() const;

  /// The kept output of the main process in the order it was read, over all its runs.
  Result<LogStream> log(const LogOptions& options = {}) const;
  /// All of it at once.
  Result<std::vector<Output>> logs() const;

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace caisson
