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
#include "caisson/result.h"
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
  /// Attaches to the running main process: output from now on; stdin if `open_stdin`.
  Result<Exec> attach();
  /// Runs one more process in the running box.
  Result<Exec> exec(const ExecSpec& spec);

  /// Sends a signal to the main process.
  Result<> signal(int number);
  /// Sends the stop signal, waits up to `grace`, then kills everything. No error if stopped.
  Result<> stop(std::chrono::nanoseconds grace = std::chrono::seconds(10));
  /// Kills everything in the box at once and waits until it is gone.
  Result<> kill();
  /// Waits until the main process has ended and the box is `stopped`.
  Result<ExitInfo> wait(Deadline deadline = {});
  /// Deletes the box: record, files, logs. kFailedPrecondition when it runs, unless `force`.
  Result<> remove(bool force = false);

  Result<BoxInfo> info() const;
  Result<Usage> stats() const;

  /// The collected output of the main process in the order it was written.
  Result<std::vector<Output>> logs() const;

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace caisson
