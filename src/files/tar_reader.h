// TarReader: the members of a tar archive as they come: ustar, pax and GNU's long names. Hostile
// input: every length is bounded, and what is not understood is an error.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/error.h"
#include "files/tar_member.h"

namespace caisson::files {

/// Fills some of the buffer; 0 at the end.
using Source = std::function<Result<std::size_t>(std::span<char>)>;

class TarReader final {
 public:
  explicit TarReader(Source source) : source_(std::move(source)) {}

  /// The next member; what is left of the content of the one before is passed over. False at the
  /// end of the archive. Errors: `archive_invalid`, or the source's.
  Result<bool> next(TarMember& member);
  /// Some of the member's content; 0 at its end.
  Result<std::size_t> read(std::span<char> buffer);
  /// Whatever follows the archive's end: a pipe's writer may still have to write it.
  Result<> drain();

 private:
  struct Extended;
  Result<bool> fill(std::span<char> buffer);
  static Result<> describe(const std::array<char, 512>& header, const Extended& extended,
                           TarMember& member);
  Result<> pass_over(std::uint64_t bytes);
  Result<std::string> text(std::uint64_t size);

  Source source_;
  std::uint64_t left_ = 0, padding_ = 0;
  std::uint64_t text_left_ = 0;  ///< of extended headers before one member
  bool ended_ = false;
};

}  // namespace caisson::files
