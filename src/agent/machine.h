// What the first process of a guest does for the machine: file systems, modules, clock, randomness.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace caisson::agent {

constexpr const char* kMachineId = "/run/caisson/machine-id";

/// Mounts what every program expects, and moves the root from the initramfs to a tmpfs:
/// pivot_root(2) cannot leave the former.
Result<> mount_basics();

/// Loads the guest's modules (docs/formats/guest.md); the late ones take no device. Another kernel
/// than theirs has all that it needs built in.
Result<> load_modules();
/// Has the drivers take what no driver has yet.
Result<> probe_devices();

/// The virtio-serial port of that name, once it is there. `port_missing` after five seconds.
Result<Fd> open_port(const std::string& name);

/// The disk with that serial number, mounted as ext4. `disk_missing` after five seconds.
Result<> mount_disk(const std::string& serial, const std::string& target, bool read_only);
/// The host's shared file system (virtiofs).
Result<> mount_share(const std::string& tag, const std::string& target);
/// Shows the directory at another place, which is made.
Result<> show(const std::string& directory, const std::string& place);

Result<> set_clock(std::int64_t since_epoch_ns);
/// Adds the bytes to the pool of the kernel's generator, counted, and has it start anew
/// (random(4), RNDADDENTROPY and RNDRESEEDCRNG).
Result<> seed_random(const std::string& bytes);
/// Of the namespace that the process is in.
Result<> set_hostname(const std::string& name, int process);
/// The content of kMachineId, which boxes are shown in the place of theirs.
Result<> set_machine_id(const std::string& id);

/// Writes everything back and switches the machine off. Returns only when that fails.
void power_off();

}  // namespace caisson::agent
