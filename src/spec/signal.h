// Names of signals.
#pragma once

#include <string>

namespace caisson::spec {

/// "SIGTERM", "SIGRTMIN+3"; the plain number where there is no name. `parse_signal` reads it back.
std::string signal_name(int number);

}  // namespace caisson::spec
