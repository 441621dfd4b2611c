// BoxSpec: everything that describes a box. Pure values.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/image.h"
#include "caisson/limits.h"
#include "caisson/result.h"

namespace caisson {

/// How strongly a box is separated from the host. This version has `container`.
enum class Isolation { kContainer };

/// A named set of defaults (capabilities, limits, root access). See docs/profiles.md.
enum class Profile {
  kMinimal,   ///< no capability, read-only root
  kStandard,  ///< Docker's fourteen capabilities, valid in the box's own user namespace only
  kFull,      ///< the same without no_new_privs, so that sudo in an image works
};

enum class Network {
  kNone,               ///< own network namespace with a loopback device only
  kUnsafeHostNetwork,  ///< the host's network namespace, abstract sockets included
};

/// How the layers of an image become a root file system.
enum class RootfsStrategy {
  kOverlay,  ///< the layers are shared, what a box writes is beside them (overlayfs)
  kMerged,   ///< a copy of all layers for each box, sharing blocks where the file system can
  kDisk,     ///< one ext4 file; for isolations with a kernel of their own
};

/// What becomes of a box that is idle for too long.
enum class IdleAction { kPause, kStop };

/// Whether a box whose main process has ended by itself is started again, on the files it has.
/// After 100 ms, then twice as long each time up to a minute; from the beginning after a run of
/// 10 s. Limits of time and output are those of one run. What the caller ends, or `max_lifetime` or
/// `idle_timeout`, stays ended.
enum class RestartMode { kNo, kOnFailure, kAlways };

struct RestartPolicy {
  RestartMode mode = RestartMode::kNo;
  unsigned max_retries = 0;  ///< kOnFailure: at most so often; 0: without limit
  friend bool operator==(const RestartPolicy&, const RestartPolicy&) = default;
};

/// A command that tells by its exit status, 0 or another, whether what runs in the box is well.
struct HealthCheck {
  std::vector<std::string> command;  ///< argv, run as the box's user
  std::chrono::nanoseconds interval =
      std::chrono::seconds(30);  ///< from the end of one to the next
  std::chrono::nanoseconds timeout =
      std::chrono::seconds(30);              ///< one that takes longer has failed
  std::chrono::nanoseconds start_period{0};  ///< failures before the first success do not count
  unsigned retries = 3;                      ///< so many failures in a row make a box unhealthy
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

enum class MountType { kBind, kTmpfs };

/// One mount in a box. `target` is an absolute path inside. A bind's `source` is an absolute
/// path of an existing file or directory on the host; symbolic links in it are followed when the
/// box is created, and one that appears later makes a start fail (`mount_source_unsafe`).
struct Mount {
  MountType type = MountType::kBind;
  std::string source;  ///< bind only
  std::string target;
  bool read_only = false;
  std::optional<std::uint64_t> size_bytes;  ///< tmpfs only
  std::optional<std::uint64_t> inodes;      ///< tmpfs only
  std::optional<unsigned> mode;             ///< tmpfs only, e.g. 01777
  friend bool operator==(const Mount&, const Mount&) = default;
};

/// The system-call filter. `kProfile` is the policy of the box's profile.
enum class SeccompMode { kProfile, kCustom, kUnconfined };

struct SecurityOptions {
  SeccompMode seccomp = SeccompMode::kProfile;
  std::string seccomp_policy;  ///< kCustom: the text of a policy in Docker's JSON format
  friend bool operator==(const SecurityOptions&, const SecurityOptions&) = default;
};

/// A box as a value. Only `source` and `command` are needed:
///
///     caisson::BoxSpec spec;
///     spec.source = "host:";
///     spec.command = {"python3", "-c", "print(6*7)"};
struct BoxSpec {
  std::string name;  ///< optional, unique in a home: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}
  /// `host:`, `dir:/absolute/path`, or an image: what PullSpec::source says. An image that is not
  /// there is pulled when the box is made (see `pull`).
  std::string source;
  PullPolicy pull = PullPolicy::kMissing;  ///< images only
  std::string platform;                    ///< images only, as in PullSpec
  RootfsStrategy rootfs = RootfsStrategy::kOverlay;
  Isolation isolation = Isolation::kContainer;
  Profile profile = Profile::kStandard;
  /// argv of the main process. With an image it stands for the image's Cmd, after its Entrypoint;
  /// it may be empty then.
  std::vector<std::string> command;
  std::optional<std::vector<std::string>>
      entrypoint;  ///< instead of the image's, whose Cmd goes too
  std::map<std::string, std::string> env;
  std::string workdir;  ///< absolute, inside; empty: the image's, /workspace for host:, else /
  std::string user;     ///< `UID[:GID]` or `NAME[:GROUP]`, empty: the image's, else root
  std::vector<std::string> groups;  ///< supplementary groups, names or numbers
  std::string hostname;             ///< empty: `caisson`
  bool read_only_root = false;
  std::vector<Mount> mounts;
  Limits limits;
  Network network = Network::kNone;
  SecurityOptions security;
  bool tty = false;          ///< the main process gets a pseudo-terminal
  bool open_stdin = false;   ///< the main process gets a pipe as stdin; else /dev/null
  bool auto_remove = false;  ///< the record goes when the box ends
  std::map<std::string, std::string> labels;
  std::string stop_signal;  ///< a name or number, empty: the image's, else SIGTERM
  /// After so long without an exec, an attached client or output of the main process the box is
  /// paused (an exec wakes it) or stopped (exit reason `timeout`). One that cannot be paused on
  /// this host is stopped.
  std::optional<std::chrono::nanoseconds> idle_timeout;
  IdleAction idle_action = IdleAction::kPause;
  RestartPolicy restart;  ///< not together with auto_remove, tty or open_stdin
  /// From the start to the end of all restarts, paused or not; the exit reason is then `timeout`.
  std::optional<std::chrono::nanoseconds> max_lifetime;
  std::optional<HealthCheck> health;
  /// So much of the main process's last output can be had again by attaching.
  std::uint64_t replay_bytes = 1u << 20;
  std::set<std::string> allow_missing;  ///< limits that may be unenforced, e.g. {"memory"}
  friend bool operator==(const BoxSpec&, const BoxSpec&) = default;
};

/// One more process in a running box. Absent fields are the box's own.
struct ExecSpec {
  std::vector<std::string> command;
  std::map<std::string, std::string> env;  ///< added to the box's
  std::string workdir;
  std::string user;
  bool tty = false;
  bool open_stdin = false;
  std::optional<std::chrono::nanoseconds> wall_time;
  OutputLimit output;
  /// The box keeps so much of the last output on disk, and the exec outlives its client: any
  /// process can attach to it and have what it has not had (Box::attach). Not with `tty`. Absent:
  /// the output goes to the client alone, without a copy.
  std::optional<std::uint64_t> replay_bytes;
  friend bool operator==(const ExecSpec&, const ExecSpec&) = default;
};

std::string_view to_string(Isolation isolation);
std::string_view to_string(Profile profile);
std::string_view to_string(Network network);
std::string_view to_string(RootfsStrategy strategy);
std::string_view to_string(IdleAction action);
std::string_view to_string(RestartMode mode);

/// Checks everything that needs no system call; the first fault found is the error.
Result<> validate(const BoxSpec& spec);
Result<> validate(const ExecSpec& spec);

// Parsers of the command line's spellings. All are pure and reject trailing garbage.

/// "64m", "1g", "1.5g", "4096": bytes; suffixes b k m g t (powers of 1024, "kb"/"kib" too).
Result<std::uint64_t> parse_size(std::string_view text);
/// "no", "always", "on-failure", "on-failure:5".
Result<RestartPolicy> parse_restart_policy(std::string_view text);
/// "1s", "250ms", "1m30s", "2h", "1.5" (seconds).
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// "TERM", "SIGTERM", "15".
Result<int> parse_signal(std::string_view text);
/// "SIZE" or "SIZE:kill", "SIZE:rotate", "SIZE:stop-collecting".
Result<OutputLimit> parse_output_limit(std::string_view text);
/// "type=bind,source=/a,target=/b,readonly" or "type=tmpfs,target=/t,size=64m,mode=1777".
Result<Mount> parse_mount(std::string_view text);
/// "/host:/box[:ro|rw]". A relative host path is taken from `base`.
Result<Mount> parse_volume(std::string_view text, std::string_view base);
/// "/path[:size=64m,mode=1777,inodes=1000,ro]".
Result<Mount> parse_tmpfs(std::string_view text);
Result<Isolation> parse_isolation(std::string_view text);
Result<Profile> parse_profile(std::string_view text);
Result<Network> parse_network(std::string_view text);
Result<RootfsStrategy> parse_rootfs_strategy(std::string_view text);
Result<IdleAction> parse_idle_action(std::string_view text);

/// The word of `candidates` nearest to `word` (Damerau-Levenshtein distance at most a third of
/// its length), or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// JSON of a spec, as kept in the state and shown by `inspect`; and back. `from_json` refuses
/// unknown fields with a "did you mean".
std::string to_json(const BoxSpec& spec);
Result<BoxSpec> box_spec_from_json(std::string_view json);

}  // namespace caisson
