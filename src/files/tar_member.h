// TarMember: one member of a tar archive, tar(5).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace caisson::files {

enum class TarType : char {
  kFile = '0',
  kHardLink = '1',
  kSymlink = '2',
  kCharDevice = '3',
  kBlockDevice = '4',
  kDirectory = '5',
  kFifo = '6',
};

struct TarMember {
  std::string name;  ///< bytes, as they stand in the archive
  TarType type = TarType::kFile;
  std::uint32_t mode = 0644;  ///< permissions alone, at most 07777
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0;  ///< of the content that follows
  std::int64_t mtime = 0;
  std::int64_t mtime_ns = 0;  ///< 0 to 999,999,999
  std::string link;           ///< of a symbolic link, or the name of what a hard link is
  std::uint32_t major = 0, minor = 0;
  std::map<std::string, std::string> xattrs;
  friend bool operator==(const TarMember&, const TarMember&) = default;
};

}  // namespace caisson::files
