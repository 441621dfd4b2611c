// Runtime: what a program opens.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/audit.h"
#include "caisson/box.h"
#include "caisson/image.h"
#include "caisson/result.h"
#include "caisson/spec.h"
#include "caisson/templates.h"
#include "caisson/volume.h"

namespace caisson {

struct OpenOptions {
  /// State directory. Empty: $CAISSON_HOME, else /var/lib/caisson for root, else
  /// $XDG_DATA_HOME/caisson or ~/.local/share/caisson.
  std::string home;
  /// The shim program. Empty: $CAISSON_SHIM, else beside the running executable, else
  /// the installed one.
  std::string shim_path;
  /// The program that pulls and unpacks. Empty: $CAISSON_FETCH, else beside the running executable,
  /// else the installed one.
  std::string fetch_path;
  /// The directory of what microVMs boot (docs/formats/guest.md). Empty: $CAISSON_GUEST, else
  /// beside the shim, else where `./dev guest` puts it.
  std::string guest_path;
};

struct ImportOptions {
  std::string name;  ///< instead of the archive's
  /// Who made the archive may ask for what reaches out of the box: binds, volumes that are there,
  /// the host's network, a directory of the host, `full`, a system call policy, limits that may be
  /// missing.
  bool trusted = false;
};

struct Filter {
  bool all = true;  ///< false: only boxes that are starting, running or stopping
  std::map<std::string, std::string> labels;  ///< every pair must match
};

/// What trying a defence, a limit or a facility of the host has shown.
enum class Proof {
  kProved,       ///< it was attacked and held, or used and worked
  kUnavailable,  ///< this host does not have it, and nothing claims it
  kFailed,       ///< it is claimed and does not hold
};
std::string_view to_string(Proof proof);

/// One row of what `Runtime::probe` found. docs/isolation.md lists them all.
struct Capability {
  std::string isolation;  ///< "container", "process", "microvm"; empty: of the host
  std::string name;       ///< e.g. "files", "limit_memory", "cgroup_memory"
  Proof proof = Proof::kUnavailable;
  bool required = false;  ///< boxes of the isolation are not started unless it is proved; nor
                          ///< after any row of it `kFailed`
  std::string detail;     ///< what was broken, why it is unavailable, or how it is done
  std::string hint;       ///< how to have it
  friend bool operator==(const Capability&, const Capability&) = default;
};
struct Capabilities {
  std::vector<Capability> rows;
  /// Absent when there is no such row.
  const Capability* find(Isolation isolation, std::string_view name) const;
  /// Every defence that the isolation requires is proved.
  bool is_fully_isolated(Isolation isolation) const;
  /// Likewise the groups of them.
  bool isolates_files(Isolation isolation) const;
  bool isolates_processes(Isolation isolation) const;
  bool isolates_network(Isolation isolation) const;
  bool filters_system_calls(Isolation isolation) const;
};
std::string to_json(const Capabilities& capabilities);

struct ProbeOptions {
  bool fresh = false;  ///< try, whatever was found before
  /// For tests of the trial: the row whose defence is left out (docs/isolation.md), of isolations
  /// that can be without it; no other is tried. It must be found `failed`; nothing is remembered.
  /// `defence_unknown`, also for a row that holds by several defences.
  std::string without;
};

/// How a home is, for who watches it.
struct Health {
  std::size_t boxes = 0;   ///< that there are
  std::size_t active = 0;  ///< of these, starting, running, paused or stopping
  std::size_t failed = 0;
  std::optional<std::int64_t> last_created_ns;  ///< since the Unix epoch
  std::uint64_t disk_free_bytes = 0;            ///< of the home's file system, for its owner
  std::uint64_t disk_total_bytes = 0;
  std::vector<std::string> warnings;  ///< for people; empty: all is well
};
std::string to_json(const Health& health);

/// The local runtime. Thread-safe, move-only; many processes may have one home open.
///
///     auto runtime = caisson::Runtime::open();
///     auto box = runtime->create({.source = "host:", .command = {"true"}});
class Runtime {
 public:
  class Impl;
  explicit Runtime(std::shared_ptr<const Impl> impl);

  /// Opens (and creates) the home and settles what earlier processes left unfinished.
  static Result<Runtime> open(OpenOptions options = {});

  /// Validates `spec` and records a box; nothing runs yet. `name_taken` when the name is used.
  Result<Box> create(const BoxSpec& spec);
  /// Makes a box of an archive of Box::export_to, which is hostile input: it decides what the box
  /// is. `archive_invalid`, `archive_unsupported`, `archive_untrusted`, `digest_mismatch`,
  /// `name_taken`.
  Result<Box> import_from(int fd, const ImportOptions& options = {});
  /// By id, unique id prefix or name. Errors `box_not_found`, `box_ambiguous`.
  Result<Box> find(std::string_view id_or_name);
  /// Newest first. A box whose record cannot be read is in the list, with the error as its
  /// `error_reason`; its Box::info() is that error, `state_corrupt`.
  Result<std::vector<BoxInfo>> list(const Filter& filter = {});
  /// What this host really gives: for each isolation a box attacks the host and its own limits, and
  /// each facility is used. Remembered for this boot and these programs, by who runs them.
  Result<Capabilities> probe(const ProbeOptions& options = {});
  /// The typed steps that `start` would take, one a line, for people to read.
  Result<std::string> plan(const BoxSpec& spec);
  Result<Health> health();
  /// Counters and times of everything in this home, in Prometheus' text format
  /// (docs/formats/metrics.md).
  Result<std::string> metrics();

  /// The entries of the audit log, oldest first; of one box with its id. `audit_unreadable`.
  Result<std::vector<AuditEntry>> audit(std::string_view box_id = {});
  /// Proves the chain of the audit log; what is wrong with it is data.
  Result<AuditCheck> verify_audit();
  /// Entries that this Runtime wrote or could not write, oldest first, at most 1,000.
  std::vector<AuditEntry> recent_audit();
  /// The number of the last event; 0 when there is none.
  Result<std::uint64_t> last_event();
  /// All events after `seq`: those that are there, then each as it comes.
  Result<EventStream> events(std::uint64_t after_seq);

  /// Kills and removes all boxes that have every one of these labels; returns their ids. One that
  /// cannot be removed does not keep the others: its error is the result.
  Result<std::vector<std::string>> destroy_all(
      const std::map<std::string, std::string>& labels = {});
  /// Removes boxes that have ended or failed, or were never started, longer than `age` ago.
  Result<std::vector<std::string>> prune(std::chrono::nanoseconds age = {});

  /// The images of this home.
  Images images();
  /// The named volumes of this home.
  Volumes volumes();
  /// The saved machines of this home.
  Templates templates();

 private:
  std::shared_ptr<const Impl> impl_;
};

/// "0.1.0"
std::string_view version();

}  // namespace caisson
