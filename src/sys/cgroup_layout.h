// Where this host keeps its cgroup hierarchies, and which of them Caisson can use.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace caisson::sys {

enum class Controller : std::uint8_t { kMemory, kPids, kCpu, kCpuacct, kFreezer, kIo };
inline constexpr std::array kAllControllers = {Controller::kMemory,  Controller::kPids,
                                               Controller::kCpu,     Controller::kCpuacct,
                                               Controller::kFreezer, Controller::kIo};
std::string_view to_string(Controller controller);

/// A set of controllers; a plain value.
class ControllerSet final {
 public:
  constexpr ControllerSet() = default;
  constexpr ControllerSet(std::initializer_list<Controller> list) {
    for (Controller c : list) add(c);
  }
  constexpr bool has(Controller c) const { return (bits_ & bit(c)) != 0; }
  constexpr void add(Controller c) { bits_ = static_cast<std::uint8_t>(bits_ | bit(c)); }
  constexpr void remove(Controller c) { bits_ = static_cast<std::uint8_t>(bits_ & ~bit(c)); }
  constexpr bool empty() const { return bits_ == 0; }
  friend bool operator==(ControllerSet, ControllerSet) = default;

 private:
  static constexpr unsigned bit(Controller c) { return 1u << static_cast<unsigned>(c); }
  std::uint8_t bits_ = 0;
};

/// One mounted hierarchy. On v2 `kCpuacct` (cpu.stat) and `kFreezer` (cgroup.freeze) are part of
/// every group; a hybrid host's v1 controllers of the same purpose come first.
struct CgroupHierarchy {
  int version = 2;
  std::string mount;               ///< the mount point
  std::optional<std::string> own;  ///< our group below `mount` ("" = the mount itself); absent
                                   ///< when it lies outside of what is mounted
  bool read_only = false;          ///< the mount itself
  ControllerSet controllers;
  std::string base;      ///< detect_cgroups(): the group in which we may make groups, or empty
  std::string unusable;  ///< detect_cgroups(): why `base` is empty
  friend bool operator==(const CgroupHierarchy&, const CgroupHierarchy&) = default;
};

/// All hierarchies that carry a controller Caisson uses, at most one of them v2.
struct CgroupLayout {
  std::vector<CgroupHierarchy> hierarchies;
  bool host_has_swap = false;
  friend bool operator==(const CgroupLayout&, const CgroupLayout&) = default;

  const CgroupHierarchy* find(Controller controller) const;
  /// Mounted, and we may make groups there.
  bool usable(Controller controller) const;
  /// Why `controller` is not usable, for an error's text.
  std::string why_not(Controller controller) const;
};

/// Pure. The texts are /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)) and the
/// cgroup.controllers file at the root of the v2 mount ("" when there is none).
CgroupLayout parse_cgroup_layout(std::string_view mountinfo, std::string_view proc_self_cgroup,
                                 std::string_view v2_controllers = {});

/// The controllers named in a cgroup.controllers file.
ControllerSet parse_v2_controllers(std::string_view names);

/// The mount point of the v2 hierarchy in a mountinfo text, if any.
std::optional<std::string> find_cgroup2_mount(std::string_view mountinfo);

/// Reads this host's layout and finds `base` for each hierarchy: on v1 the mount point (root
/// only); on v2 the highest group above our own that we may write.
Result<CgroupLayout> detect_cgroups();

}  // namespace caisson::sys
