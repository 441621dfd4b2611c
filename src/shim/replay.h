// Replay: the last output of a process, on disk, for clients that attach later.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace caisson::shim {

class Replay final {
 public:
  /// Keeps at most `max_bytes` in a file without a name in `directory`, which is made with the
  /// first of them. Output that cannot be written is not kept.
  Replay(std::string directory, std::uint64_t max_bytes)
      : directory_(std::move(directory)), max_bytes_(max_bytes) {}

  /// `stream` is 1 or 2. Bytes of a stream come in order.
  void append(std::uint32_t stream, std::string_view bytes);
  /// How many bytes of a stream there have been.
  std::uint64_t total(std::uint32_t stream) const { return total_[stream - 1]; }

  /// Where somebody is who reads it: what of each stream they have, and a record.
  struct Cursor {
    std::array<std::uint64_t, 2> had{};
    std::uint64_t record = 0;
  };
  struct Piece {
    std::uint32_t stream = 1;
    std::uint64_t offset = 0;
    std::string bytes;
  };
  /// What comes next for the cursor, in the order in which it was read; absent when it has all.
  std::optional<Piece> next(Cursor& cursor, std::uint64_t max) const;

 private:
  struct Record {
    std::uint32_t stream;
    std::uint64_t offset;  ///< in its stream
    std::uint64_t length;
    std::uint64_t position;  ///< counted over all that was ever written
  };
  bool open();
  bool write(std::uint64_t position, std::string_view bytes);
  void make_room();

  std::string directory_;
  std::uint64_t max_bytes_;
  Fd file_;
  bool failed_ = false;
  std::deque<Record> records_;
  std::uint64_t first_ = 0;     ///< number of the first record
  std::uint64_t position_ = 0;  ///< where the next byte goes
  std::uint64_t kept_ = 0;
  std::array<std::uint64_t, 2> total_{};
};

}  // namespace caisson::shim
