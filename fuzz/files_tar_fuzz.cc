// Tar archives of cp and import: unpacked below a temporary directory. Nothing outside of it may
// change.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "files/unpack.h"
#include "sys/tree.h"

using namespace caisson;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > (1u << 20)) return 0;
  char pattern[] = "/tmp/caisson-fuzz-XXXXXX";
  if (::mkdtemp(pattern) == nullptr) ::abort();
  const std::string path = pattern, inside = path + "/in", canary = path + "/canary";
  if (::mkdir(inside.c_str(), 0700) < 0 || ::mkdir(canary.c_str(), 0700) < 0) ::abort();
  struct stat before{}, after{};
  if (::stat(canary.c_str(), &before) < 0) ::abort();
  {
    const Fd dir = *open_fd(inside, O_RDONLY | O_DIRECTORY);
    std::size_t at = 0;
    files::TarReader tar([&](std::span<char> buffer) -> Result<std::size_t> {
      const std::size_t n = std::min(buffer.size(), size - at);
      std::copy_n(reinterpret_cast<const char*>(data) + at, n, buffer.data());
      at += n;
      return n;
    });
    [[maybe_unused]] const auto done = files::unpack(tar, dir.get(), {});
  }
  if (::stat(canary.c_str(), &after) < 0 || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec ||
      after.st_ctim.tv_nsec != before.st_ctim.tv_nsec)
    ::abort();
  static_cast<void>(sys::remove_tree(AT_FDCWD, path));
  return 0;
}
