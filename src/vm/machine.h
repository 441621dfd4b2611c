// The machine of a guest as QEMU's words: a pure value and its command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "caisson/spec.h"

namespace caisson::vm {

/// How QEMU runs a guest's instructions.
enum class Accelerator { kTcg, kKvm };

/// Files and sockets are descriptors of QEMU's process: it opens no path of a box. A machine and
/// one that goes on where it was saved have the same devices; those of disks that are not given are
/// there and empty, and no driver has looked at them when a machine is saved as a template.
struct Machine {
  Accelerator accelerator = Accelerator::kTcg;
  unsigned cpus = 1;
  std::uint64_t memory_mib = 0;
  std::uint64_t tsc_khz = 0;        ///< of this host; TCG's guests cannot find it out
  std::string qemu;                 ///< the program
  int kernel = -1, initramfs = -1;  ///< -1: it does not boot, it goes on (`state`)
  int memory = -1;               ///< the file of its memory (opens.h); -1: it has memory of its own
  bool keep_memory = false;      ///< what it writes goes to `memory`, else it is its own
  int state = -1;                ///< of its devices, to go on from
  int agent = -1, control = -1;  ///< stream sockets: the agent's channel, QMP
  int console = -1;              ///< takes what the guest's kernel says
  int base = -1;                 ///< ext4, read-only; -1: none
  int box = -1;                  ///< qcow2; -1: none
  int old = -1;                  ///< qcow2; -1: none, not of a template
  std::uint64_t bytes_per_second = 0, operations_per_second = 0;  ///< of its disks; 0: no limit
  int share = -1;  ///< of vhost-user, to virtiofsd; -1: none
};

/// The words to start QEMU with.
std::vector<std::string> command_line(const Machine& machine);

/// What a box's guest is given. Its memory is what the box may use and what the guest's own system
/// takes; processors are whole ones, of which the box's share is limited inside.
struct Size {
  unsigned cpus = 1;
  std::uint64_t memory_mib = 0;
  friend bool operator==(const Size&, const Size&) = default;
};
/// `memory_too_small` when the limit leaves no room for a program.
Result<Size> size_of(const BoxSpec& spec);

/// The rate of the time-stamp counter, measured against CLOCK_MONOTONIC_RAW in 25 ms; kHz.
std::uint64_t measure_tsc_khz();

}  // namespace caisson::vm
