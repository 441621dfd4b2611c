// The plan of a box without a root of its own: spec + host facts → what its processes may do. Pure;
// printed by `caisson debug plan`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "caisson/spec.h"
#include "init/seccomp.h"
#include "sys/landlock.h"

namespace caisson::process {

struct Facts {
  bool root = false;
  int landlock_abi = 0;                         ///< 0: there is none
  std::string landlock_missing, landlock_hint;  ///< why, and what to do
  friend bool operator==(const Facts&, const Facts&) = default;
};

struct AllowedPath {
  std::string path;
  sys::FsAccess access = 0;
  bool optional = false;  ///< one of ours, which not every host has
  bool asked = false;     ///< by the caller: a path without symbolic links since the box was made
  friend bool operator==(const AllowedPath&, const AllowedPath&) = default;
};

struct Plan {
  bool confined = false;  ///< isolation `process`
  bool landlock = false;
  sys::LandlockOptions options;
  std::vector<AllowedPath> paths;
  std::vector<std::uint16_t> connect_ports, bind_ports;
  bool no_new_privileges = false;
  init::SharedHost seccomp;  ///< isolation `process`
  std::string workspace;     ///< a directory of the box's own
  std::vector<std::string> warnings;
};

/// `data`: the box's directory. Errors: `landlock_unavailable` when what is asked for needs more of
/// it than there is.
Result<Plan> make_plan(const BoxSpec& spec, const Facts& facts, const std::string& data);

std::string describe(const Plan& plan);

}  // namespace caisson::process
