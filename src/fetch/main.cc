// caisson-fetch: pulls and unpacks. Started by the engine with its socket as descriptor 3; it takes
// no arguments and no environment (docs/formats/fetch.md).
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fetch/supervisor.h"

int main() {
  constexpr int kControl = 3;
  if (::fcntl(kControl, F_GETFD) < 0) {
    constexpr char kText[] =
        "caisson-fetch: this program is started by caisson; it has no use of its own\n";
    [[maybe_unused]] const ssize_t n = ::write(2, kText, sizeof kText - 1);
    return 2;
  }
  ::fcntl(kControl, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_DUMPABLE, 0);
  return caisson::fetch::run_supervisor(caisson::Fd(kControl));
}
