// The documents of the shim's protocol (docs/formats/wire.md): requests, replies, events.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backend/sandbox.h"
#include "caisson/exit_info.h"
#include "spec/rootfs.h"

namespace caisson::backend {

/// Of what requests and answers mean. A box outlives upgrades; a shim refuses other versions.
constexpr int kProtocolVersion = 6;

/// The shim's argument when it is to start a container: it prepares one before it is asked.
constexpr const char* kPrepareContainer = "container";

/// Its argument when it is to do nothing until descriptor 3 ends.
constexpr const char* kCanary = "canary";

/// Where things of one home are. The directories exist before a shim is started.
struct Layout {
  std::string home;  ///< absolute
  std::string box(const std::string& id) const { return home + "/boxes/" + id; }
  std::string ended() const { return home + "/ended"; }
  /// The shim's socket, in the box's directory.
  static std::string socket(const std::string& id) { return id + ".sock"; }
  /// What the shim tells of health and restarts, in the box's directory.
  static constexpr const char* kStatus = "status";
  /// There while the box is paused, in the box's directory.
  static constexpr const char* kPaused = "paused";
  std::string cache() const { return home + "/cache"; }
  friend bool operator==(const Layout&, const Layout&) = default;
};

struct StartRequest {
  std::string id;
  Layout layout;
  std::string guest;  ///< the directory of what a microVM boots
  BoxSpec spec;
  Rootfs rootfs;
  bool attach = false;
  bool at_rest = false;  ///< only for its files: nothing of the box runs, and nothing is recorded
  unsigned fail_at = 0;  ///< fault injection: the number of the step that is to fail
  std::optional<Trial> trial;
};
struct ExecRequest {
  ExecSpec spec;
};
/// Serve the files of the box to the client behind the socket that comes along.
struct FilesRequest {};
struct AttachRequest {
  AttachOptions options;
};
struct WaitRequest {};
struct SignalRequest {
  int number = 0;
};
struct KillRequest {
  ExitReason reason = ExitReason::kKilled;
};
struct StopRequest {
  std::chrono::nanoseconds grace{0};
};
struct StatsRequest {};
/// What a start would have answered: its client may have died.
struct StartedRequest {};
struct PauseRequest {
  /// Until the connection ends, whoever ends it; execs wait so long.
  bool hold = false;
};
struct ResumeRequest {};
/// Write what a microVM's box is to go on from to `directory`, an empty one: its disk, and with
/// `memory` its memory. With `stay` nothing of it runs on after that.
struct SaveRequest {
  std::string directory;
  bool memory = false, stay = false;
};
/// Delete the tree `name` in `directory` with the ids that boxes have; no box is involved.
struct RemoveRequest {
  std::string directory, name;
};
/// Make a disk image (image/disk_image.h) with the ids that boxes have; no box is involved.
struct DiskRequest {
  std::vector<std::string> lowers;
  std::string lower_parent, directory, name, digest;
};
/// Copy the layers `trees` to `name` in `directory` (image/flatten.h), likewise.
struct CopyRequest {
  std::vector<std::string> trees;
  std::string directory, name;
};
/// Compare two stacks of trees (image/diff.h), likewise. The differences go to the descriptor that
/// comes along: kind, path, NUL.
struct DiffRequest {
  std::vector<std::string> before, after;
};
/// Write what distinguishes two stacks of trees as the tar of an OCI layer to the descriptor that
/// comes along (image/layer_tar.h), likewise.
struct LayerRequest {
  std::vector<std::string> before, after;
  std::uint32_t swapped_uid = 0, swapped_gid = 0;  ///< as in image/layer_tar.h
};
/// The same of a microVM, whose files only a guest looks into: one of its own, in `directory`. With
/// what it has now (`box`, a disk in `rootfs.saved`) it compares what it had: the lowest
/// `old_lowers` of the same lowers, and the disk in `old`. What comes of it goes to the descriptor
/// that comes along, as of a diff or with `layer` of a layer.
struct CompareRequest {
  StartRequest box;
  std::string directory, old;
  std::uint32_t old_lowers = 0;
  bool layer = false;
};
/// Make the templates that `box`, which has no record, would go on from (vm/template.h), in a
/// machine that works in `directory`. The answer has `started` with its warnings.
struct WarmRequest {
  StartRequest box;
  std::string directory;
};
using Request = std::variant<StartRequest, ExecRequest, FilesRequest, AttachRequest, WaitRequest,
                             SignalRequest, KillRequest, StopRequest, StatsRequest, StartedRequest,
                             PauseRequest, ResumeRequest, SaveRequest, RemoveRequest, DiskRequest,
                             CopyRequest, DiffRequest, LayerRequest, CompareRequest, WarmRequest>;

std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view payload);

/// What a shim answers. `fds`: how many descriptors came with the frame.
struct Reply {
  std::optional<Error> error;
  std::optional<Started> started;
  std::optional<Usage> usage;
  std::optional<ProcessId> exec;  ///< of one with `replay_bytes`
  /// To `attach`: how many bytes of each stream come before the first that will be sent, unless
  /// some of those are not kept any more.
  std::array<std::uint64_t, 2> offsets{};
  int fds = 0;
};
std::string encode_reply(const Reply& reply);
Result<Reply> decode_reply(std::string_view payload);

std::string encode_exit(const ExitInfo& exit);
Result<ExitInfo> decode_exit(std::string_view payload);

/// What `status` holds, as JSON.
struct Status {
  unsigned restarts = 0;
  bool restarting = false;
  int init_pid = 0;  ///< of the run that there is, with its beginning; 0: none
  std::int64_t started_ns = 0;
  HealthState health = HealthState::kNone;
  std::string health_output;
};
std::string encode_status(const Status& status);
Result<Status> decode_status(std::string_view text);

/// The record that a shim leaves in `ended/<id>`, as JSON.
struct EndedRecord {
  ExitInfo exit;
  std::int64_t finished_ns = 0;
};
std::string encode_ended(const EndedRecord& record);
Result<EndedRecord> decode_ended(std::string_view text);

}  // namespace caisson::backend
