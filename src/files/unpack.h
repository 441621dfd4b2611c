// Unpacking a tar archive into a tree. The archive is hostile.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "files/tar_reader.h"

namespace caisson::files {

struct UnpackOptions {
  /// Members that are not this one or below it are an error; empty: any.
  std::string only;
  /// Takes the place of `only` in their names.
  std::string as;
  /// Parents may be reached through symbolic links that are there already: for a process whose root
  /// is the box's. Magic links of /proc are never followed.
  bool follow = false;
  /// Give files to the members' owners; else to `owner`.
  bool keep_owners = false;
  /// Set-id bits, extended attributes, devices: only where the owners can do no harm with them.
  bool keep_special = false;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;  ///< absent: who unpacks
  /// Asked before something is made in a directory.
  std::function<Result<>(int directory)> check;
};

struct Unpacked {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t skipped = 0;  ///< devices
};

/// Makes the members in the directory `directory` and never outside of it: names that lead out are
/// an error, and no member is written through a link that another one made (nor, without `follow`,
/// through any). A file takes the place of another at once, or of a link; it never takes that of a
/// directory. Attributes of directories that are there already stay as they are.
/// `archive_invalid`, `member_unsafe`, `path_in_the_way`, `disk_full`.
Result<Unpacked> unpack(TarReader& tar, int directory, const UnpackOptions& options);

/// The same error for every way of writing to a full disk.
Error write_error(std::string_view action, const std::string& path);

}  // namespace caisson::files
