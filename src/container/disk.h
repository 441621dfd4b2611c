// What a box occupies on disk.
#pragma once

#include <cstdint>
#include <string>

namespace caisson::container {

/// Bytes allocated to everything below `path`; stops counting once `enough` is exceeded. The tree
/// may change under it: names are never followed out of it. What cannot be counted, because it is
/// nested deeper than any program has reason to, counts as more than enough.
std::uint64_t directory_bytes(const std::string& path, std::uint64_t enough);

/// Bytes of files of the box's root (an O_PATH descriptor) that have no name any more and that the
/// box's processes keep open. A file that is only mapped, or on its way through a socket, is not
/// found.
std::uint64_t unlinked_bytes(int root, std::uint64_t enough);

}  // namespace caisson::container
