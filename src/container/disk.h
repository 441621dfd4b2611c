// The size of a directory tree on disk.
#pragma once

#include <cstdint>
#include <string>

namespace caisson::container {

/// Bytes allocated to everything below `path`; stops counting once `enough` is exceeded. The tree
/// may change under it: names are never followed out of it.
std::uint64_t directory_bytes(const std::string& path, std::uint64_t enough);

}  // namespace caisson::container
