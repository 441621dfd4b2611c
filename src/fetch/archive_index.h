// Where the members of a tar archive are. Pure but for reading the file; the archive is hostile.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/fd.h"

namespace caisson::fetch {

struct Member {
  std::uint64_t offset = 0;  ///< of its bytes in the archive
  std::uint64_t size = 0;
  std::string link;  ///< of a symbolic or hard link: where it leads, from the archive's top
};

/// Regular files and links by name, without leading "./"; of a name that is there twice the last.
/// Formats: ustar, pax (path, linkpath, size) and GNU (long names, base-256 sizes). Errors:
/// `archive_invalid`; a compressed archive is told by name.
Result<std::map<std::string, Member>> index_archive(int fd, const std::string& name);

}  // namespace caisson::fetch
