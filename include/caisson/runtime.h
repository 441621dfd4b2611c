// Runtime: what a program opens.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/box.h"
#include "caisson/image.h"
#include "caisson/result.h"
#include "caisson/spec.h"

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
};

struct Filter {
  bool all = true;  ///< false: only boxes that are starting, running or stopping
  std::map<std::string, std::string> labels;  ///< every pair must match
};

/// Whether a defence or limit works on this host, and if not, why.
struct Capability {
  std::string name;  ///< "container", or "cgroup_" and a controller's name: "cgroup_memory"
  bool available = false;
  std::string detail;  ///< why not, or how it is done
};
struct Capabilities {
  std::vector<Capability> rows;
};

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
  /// By id, unique id prefix or name. Errors `box_not_found`, `box_ambiguous`.
  Result<Box> find(std::string_view id_or_name);
  /// Newest first. A box whose record cannot be read is in the list, with the error as its
  /// `error_reason`; its Box::info() is that error, `state_corrupt`.
  Result<std::vector<BoxInfo>> list(const Filter& filter = {});
  /// What this host really gives isolation `container`. Every row was tried: a box was run, and
  /// for each cgroup controller a group was made, limited and removed.
  Result<Capabilities> probe();
  /// The typed steps that `start` would take, one a line, for people to read.
  Result<std::string> plan(const BoxSpec& spec);
  /// The images of this home.
  Images images();

 private:
  std::shared_ptr<const Impl> impl_;
};

/// "0.1.0"
std::string_view version();

}  // namespace caisson
