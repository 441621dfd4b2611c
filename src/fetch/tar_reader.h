// TarReader: the members of a tar that comes out of a ring, read by libarchive. Hashes all that
// comes, also what is behind the tar's end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "fetch/ring.h"
#include "fetch/sha256.h"

struct archive;
struct archive_entry;

namespace caisson::fetch {

struct Member {
  std::string_view name;  ///< bytes as they stand in the tar
  bool is_hard_link = false;
  std::string_view hard_link;  ///< its target
  std::string_view link;       ///< a symbolic link's target
  mode_t mode = 0;             ///< with the type; hard links have none
  std::int64_t uid = 0, gid = 0, size = 0;
  std::int64_t mtime = 0;
  long mtime_ns = 0;
  unsigned major = 0, minor = 0;
};

struct DataBlock {
  std::span<const unsigned char> bytes;
  std::uint64_t offset = 0;  ///< holes are between blocks
};

class TarReader final {
 public:
  /// `ring` outlives the reader. The process's locale must be "C": with it libarchive hands out
  /// names byte by byte, where in a UTF-8 locale it would normalise those of pax headers.
  static Result<TarReader> create(Ring& ring);
  TarReader(TarReader&&) noexcept;
  TarReader& operator=(TarReader&&) = delete;
  ~TarReader();

  /// False at the end. The member is valid until the next call. Errors: `layer_invalid`, or the
  /// ring's.
  Result<bool> next(Member& member);
  /// The next piece of the member's content, without a copy; false at its end.
  Result<bool> next_data(DataBlock& block);
  /// Calls `use` with every extended attribute of the member.
  Result<> each_xattr(
      const std::function<Result<>(const char* name, const void* value, std::size_t size)>& use);

  /// Reads what is left, and returns the digest of everything.
  Result<std::string> finish();

 private:
  struct Source;
  TarReader(std::unique_ptr<Source> source, archive* reader);
  Error failure() const;

  std::unique_ptr<Source> source_;
  archive* reader_ = nullptr;
  archive_entry* entry_ = nullptr;
};

}  // namespace caisson::fetch
