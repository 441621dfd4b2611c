// Attempts of a box in a guest on what is between it and the host. Each returns what succeeded.
#pragma once

#include <string>

#include "trial/attack.h"

namespace caisson::trial {

/// Whether the kernel is another than the host's.
std::string share_kernel(const Target& target);
/// The machine's ports, disks and registers, which lead to QEMU.
std::string reach_host();

}  // namespace caisson::trial
