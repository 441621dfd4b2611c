// MachineOptions: what only a box with a kernel of its own has.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace caisson {

struct MachineOptions {
  /// An absolute path of the host: boot this kernel, an x86-64 ELF file with a PVH note or a
  /// bzImage (Documentation/arch/x86/boot.rst of Linux), instead of the one that `./dev guest`
  /// makes. Modules are loaded into the latter's release only: another has built in what
  /// docs/formats/guest.md names. Such a box boots each time. Empty: the guest's own.
  std::string kernel;
  /// Boot, in seconds, instead of going on from a template, and leave none.
  bool cold = false;
  /// The longest that a start waits for its guest at each step: to boot, or to go on from what was
  /// saved, and then to make the box. Then it is `guest_silent`. Absent: 60 s; at most a day.
  std::optional<std::chrono::nanoseconds> ready_timeout;
  bool empty() const { return *this == MachineOptions{}; }
  friend bool operator==(const MachineOptions&, const MachineOptions&) = default;
};

}  // namespace caisson
