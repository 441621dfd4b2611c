#include "init/launcher.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

asm(".pushsection .rodata\n"
    "caisson_launcher_begin: .incbin \"" CAISSON_LAUNCHER
    "\"\n"
    "caisson_launcher_end:\n"
    ".popsection\n");
extern const char kLauncherBegin[] asm("caisson_launcher_begin");
extern const char kLauncherEnd[] asm("caisson_launcher_end");

namespace caisson::init {
Result<Fd> make_launcher() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Fd file(::memfd_create("caisson-launcher", kFlags | MFD_EXEC));
  // Before Linux 6.3 every memory file may be executed, and the flag is unknown.
  if (!file && errno == EINVAL) file = Fd(::memfd_create("caisson-launcher", kFlags));
  if (!file) return sys_error("create memory file", "launcher");
  const std::string_view image(kLauncherBegin, kLauncherEnd);
  TRY(write_all(file.get(), image, "launcher"));
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_EXEC);  // also since 6.3
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
      0)
    return sys_error("seal memory file", "launcher");
  return file;
}

}  // namespace caisson::init
