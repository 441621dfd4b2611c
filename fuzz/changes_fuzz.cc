// What a guest says of the differences of a box: whatever is taken for a path is one.
#include <cstdint>

#include "image/changes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<std::vector<Change>> changes = image::read_changes(bytes);
  if (!changes) return 0;
  std::string again;
  for (const Change& change : *changes) {
    if (!change.path.starts_with('/') || (change.path + "/").contains("/../")) __builtin_trap();
    again += static_cast<char>(change.kind) + change.path + '\0';
  }
  if (again != bytes) __builtin_trap();
  return 0;
}
