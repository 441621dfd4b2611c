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
#include "caisson/machine.h"
#include "caisson/result.h"

namespace caisson {

/// How strongly a box is separated from the host, the weakest first. See docs/isolation.md.
enum class Isolation {
  /// Not at all: a process of the caller's with limits, an account and `HostAccess` of its own.
  kUnsafeHost,
  /// Landlock, a system-call filter, no_new_privs and no capability: the caller's ids, the host's
  /// paths. Needs neither root nor user namespaces.
  kProcess,
  kContainer,  ///< namespaces, cgroups, a root of its own
  kMicroVm,    ///< a virtual machine: the same, under a kernel of its own
};

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
/// After 100 ms, then twice as long each time up to a minute; anew after a run of 10 s. Limits of
/// time and output are those of a run. What the caller or a limit of the box's time ends stays so.
enum class RestartMode { kNo, kOnFailure, kAlways };

struct RestartPolicy {
  RestartMode mode = RestartMode::kNo;
  unsigned max_retries = 0;  ///< kOnFailure: at most so often; 0: without limit
  friend bool operator==(const RestartPolicy&, const RestartPolicy&) = default;
};

/// A command whose exit status tells whether what runs in the box is well: 0, or another.
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

enum class MountType {
  kBind,    ///< a file or directory of the host
  kVolume,  ///< a named volume of the home (see volume.h); made when there is none
  kTmpfs,
};

/// Whether files of a bind or volume that belong to its owner on the host belong to the box's user
/// inside, and what the user writes to the owner: by an id-mapped mount that swaps the two
/// (mount_setattr(2)). An ordinary user's boxes do it by their user namespace.
enum class IdMapping {
  kAuto,     ///< when they differ; a warning in BoxInfo where this host or file system cannot
  kRequire,  ///< an error (`idmap_unavailable`) where it cannot
  kOff,
};

/// One mount in a box. `target` is an absolute path inside. A bind's `source` is an absolute path
/// of an existing file or directory on the host, a directory when it ends in '/'; symbolic links in
/// it are followed when the box is created, and one that appears later makes a start fail
/// (`mount_source_unsafe`). A volume's `source` is its name.
struct Mount {
  MountType type = MountType::kBind;
  std::string source;  ///< not of a tmpfs
  std::string target;
  bool read_only = false;
  IdMapping idmap = IdMapping::kAuto;       ///< binds and volumes; not when read-only
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
  /// Capabilities of root in the box, beside the profile's or without them: "CAP_NET_RAW",
  /// "NET_RAW" or "ALL". They act on the box's own ids and files only. Docker's order: "ALL" is
  /// dropped first.
  std::set<std::string> cap_add, cap_drop;
  std::optional<bool> no_new_privileges;  ///< absent: the profile's
  friend bool operator==(const SecurityOptions&, const SecurityOptions&) = default;
};

/// What a box without a root of its own may use of the host: isolation `process` beside what
/// `host:` always shows (programs, libraries, public configuration) and a directory of the box's
/// own; isolation `host` everything, unless something is listed. Absolute paths of what exists when
/// the box starts; symbolic links in them are followed when the box is created.
struct HostAccess {
  std::vector<std::string> read;                         ///< files, or everything below directories
  std::vector<std::string> write;                        ///< the same, and change, make and remove
  std::vector<std::string> execute;                      ///< read, and run as programs
  std::vector<std::uint16_t> connect_ports, bind_ports;  ///< TCP
  bool empty() const { return *this == HostAccess{}; }
  friend bool operator==(const HostAccess&, const HostAccess&) = default;
};

/// A box as a value. Only `source` and `command` are needed:
///
///     caisson::BoxSpec spec;
///     spec.source = "host:";
///     spec.command = {"python3", "-c", "print(6*7)"};
struct BoxSpec {
  std::string name;  ///< optional, unique in a home: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}
  /// `host:`, `dir:/absolute/path`, or an image as in PullSpec::source, pulled as `pull` says.
  std::string source;
  PullPolicy pull = PullPolicy::kMissing;  ///< images only
  std::string platform;                    ///< images only, as in PullSpec
  RootfsStrategy rootfs = RootfsStrategy::kOverlay;
  Isolation isolation = Isolation::kContainer;
  Profile profile = Profile::kStandard;
  /// argv of the main process. With an image it stands for the image's Cmd, after its Entrypoint;
  /// it may be empty then.
  std::vector<std::string> command;
  std::optional<std::vector<std::string>> entrypoint;  ///< instead of the image's and its Cmd
  std::map<std::string, std::string> env;
  std::string workdir;  ///< absolute, inside; empty: the image's, /workspace for host:, else /
  std::string user;     ///< `UID[:GID]` or `NAME[:GROUP]`, empty: the image's, else root
  std::vector<std::string> groups;     ///< supplementary groups, names or numbers
  std::string hostname;                ///< empty: `caisson`, of a microVM with the end of its id
  std::optional<bool> read_only_root;  ///< absent: the profile's
  std::vector<Mount> mounts;
  /// Paths that stay as they are, also when they are not there at the start: absolute ones in the
  /// box, or relative ones below every writable bind. One that ends in '/' is a directory.
  std::vector<std::string> protect;
  std::optional<bool> protect_defaults;  ///< those of the profile too; absent: yes
  HostAccess access;                     ///< isolations `process` and `host`
  MachineOptions machine;                ///< isolation `microvm`
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
  /// The box keeps so much of the last output, and the exec outlives its client: others can attach
  /// to it (Box::attach). Not with `tty`. Absent: the output goes to the client alone.
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
/// "type=bind,source=/a,target=/b,readonly,idmap=off", "type=volume,source=NAME,target=/b" or
/// "type=tmpfs,target=/t,size=64m,mode=1777".
Result<Mount> parse_mount(std::string_view text);
/// "/host:/box[:OPTIONS]" or "NAME:/box[:OPTIONS]", OPTIONS of ro, rw and idmap=auto|require|off,
/// separated by commas. A relative host path has a '/' and is taken from `base`.
Result<Mount> parse_volume(std::string_view text, std::string_view base);
/// "/path[:size=64m,mode=1777,inodes=1000,ro]".
Result<Mount> parse_tmpfs(std::string_view text);
Result<Isolation> parse_isolation(std::string_view text);
Result<Profile> parse_profile(std::string_view text);
Result<Network> parse_network(std::string_view text);
Result<RootfsStrategy> parse_rootfs_strategy(std::string_view text);
Result<IdleAction> parse_idle_action(std::string_view text);

/// The word of `candidates` that `word` seems to be a misspelling of, or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// JSON of a spec, as kept in the state and shown by `inspect` (docs/formats/box.schema.json), and
/// back: unknown fields are refused with a "did you mean"; sizes, times, modes and mounts may be
/// as on the command line, and a relative host path stays, for the caller to resolve.
std::string to_json(const BoxSpec& spec);
Result<BoxSpec> box_spec_from_json(std::string_view json);
/// The same in YAML 1.2, of which JSON is a part; see docs/box-file.md. Error: `yaml_invalid`.
Result<BoxSpec> box_spec_from_yaml(std::string_view yaml);

}  // namespace caisson
