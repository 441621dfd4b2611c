// The index of an image archive: bytes of a file that somebody gave us.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "fetch/archive_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const caisson::Fd file(::memfd_create("archive", MFD_CLOEXEC));
  if (!caisson::write_all(file.get(), {reinterpret_cast<const char*>(data), size}, "archive"))
    return 0;
  const auto found = caisson::fetch::index_archive(file.get(), "archive");
  if (!found) return 0;
  for (const auto& [name, member] : *found)
    if (member.offset + member.size > size) std::abort();
  return 0;
}
