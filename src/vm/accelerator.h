// Whether guests run by KVM here: when one has booted with it, not before. A /dev/kvm that opens
// can still be unable to run a stock kernel.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "vm/machine.h"

namespace caisson::vm {

/// Whether this process may open /dev/kvm.
bool kvm_is_there();

/// What was found out before, remembered in `cache`; `what` names all that it depends on.
std::optional<Accelerator> known_accelerator(const std::string& cache, const std::string& what);
/// One that cannot be remembered is found out again.
void remember_accelerator(const std::string& cache, const std::string& what,
                          Accelerator accelerator);

}  // namespace caisson::vm
