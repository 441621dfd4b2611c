// caisson-shim: started by the library with one socket as descriptor 3.
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "shim/shim.h"

namespace {

constexpr int kControl = 3;
using caisson::shim::kClaim;

/// Overwrites the program's path in place: what `ps` in the box shows of init, which is our fork.
void rename_process(char* word) {
  constexpr char kName[] = "caisson-init";
  const std::size_t room = std::strlen(word);
  std::memset(word, 0, room);
  std::memcpy(word, kName, std::min(room, sizeof kName - 1));
}

/// Nothing of whoever started us stays: descriptors, directory, words visible in /proc.
bool detach_from_caller(int argc, char** argv) {
  ::syscall(SYS_close_range, kClaim + 1, ~0u, 0);
  if (::fcntl(kControl, F_SETFD, FD_CLOEXEC) < 0) return false;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::close(null);
  for (int i = 1; i < argc; ++i) std::memset(argv[i], 0, std::strlen(argv[i]));
  rename_process(argv[0]);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file-size limit of the caller ends the log, not the box
  ::umask(077);
  return ::chdir("/") == 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A process of the host for a trial to look for; it ends with who started it.
  if (argc == 2 && std::strcmp(argv[1], caisson::backend::kCanary) == 0) {
    char byte = 0;
    while (::read(kControl, &byte, 1) > 0) {
    }
    return 0;
  }
  if (argc < 1 || ::fcntl(kControl, F_GETFD) < 0) {
    std::fputs("caisson-shim: started by the Caisson library, not by hand\n", stderr);
    return 125;
  }
  const bool starts_box = ::fcntl(kClaim, F_SETFD, FD_CLOEXEC) == 0;
  const bool container = argc > 1 && std::strcmp(argv[1], caisson::backend::kPrepareContainer) == 0;
  if (!detach_from_caller(argc, argv)) return 1;
  auto poller = caisson::shim::Poller::create();
  if (!poller) return 1;
  return caisson::shim::Shim(std::move(*poller), caisson::Fd(kControl), starts_box && container)
      .run();
}
