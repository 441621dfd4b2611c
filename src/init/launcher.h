// The launcher: a tiny program between init's fork and the program that a box asked for.
//
// init and its forks run caisson-shim, and a program that is executed as "#!/proc/self/exe" becomes
// caisson-shim once more, this time open to the box (CVE-2019-5736). That is harmless while the
// box's ids have no right to change the file. Where they have (Facts::exposed_program), because the
// caller runs a shim of its own, every fork first executes the launcher: /proc/self/exe is then a
// sealed memory file.
#pragma once

#include "base/fd.h"

namespace caisson::init {

/// The launcher, in a sealed memory file.
Result<Fd> make_launcher();

}  // namespace caisson::init
