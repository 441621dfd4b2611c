#include "trial/guest.h"

#include <fcntl.h>
#include <sys/io.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>

#include "base/fd.h"
#include "trial/attempts.h"

namespace caisson::trial {
namespace {

/// By its number, as root of a machine would.
void open_device(Attempts& attempts, const std::string& entry, mode_t type) {
  const Result<std::string> text = read_file(entry + "/dev", 64);
  unsigned major_number = 0, minor_number = 0;
  if (!text || std::sscanf(text->c_str(), "%u:%u", &major_number, &minor_number) != 2) return;
  if (::mknod("device", type | 0600, makedev(major_number, minor_number)) < 0) return;
  for (int access : {O_RDONLY, O_WRONLY})
    attempts.opened(::open("device", access | O_CLOEXEC | O_NONBLOCK), format("opened {}", entry));
  ::unlink("device");
}

void open_devices(Attempts& attempts, const std::string& place, mode_t type) {
  for (const std::string& name : names_in(place))
    open_device(attempts, format("{}/{}", place, name), type);
}

}  // namespace

std::string share_kernel(const Target& t) {
  Attempts attempts;
  const Result<std::string> boot = read_file("/proc/sys/kernel/random/boot_id", 64);
  attempts.broke(!boot || boot->empty(), "which boot it is of cannot be read");
  attempts.broke(boot && boot->starts_with(t.boot), "its kernel is the host's");
  return attempts.broken();
}

std::string reach_host() {
  Attempts attempts;
  open_devices(attempts, "/sys/class/virtio-ports", S_IFCHR);
  open_devices(attempts, "/sys/class/block", S_IFBLK);
  for (const char* path : {"/dev/mem", "/dev/port", "/dev/hwrng", "/dev/hvc0", "/dev/ttyS0"})
    attempts.opened(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
                    format("opened {}", path));
  constexpr unsigned long kFirmware = 0x510;  // fw_cfg, specs/fw_cfg.rst of QEMU
  attempts.broke(::ioperm(kFirmware, 2, 1) == 0, "may use ports of the machine");
  attempts.broke(::iopl(3) == 0, "may use all ports of the machine");
  attempts.opened(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), "opened a vsock socket");
  return attempts.broken();
}

}  // namespace caisson::trial
