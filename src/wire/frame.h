// Frames of docs/formats/wire.md. Encode and decode only; no input or output.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::wire {

enum class FrameType : std::uint8_t {
  kRequest = 1,
  kReply = 2,
  kEvent = 3,
  kData = 4,
  kCredit = 5
};

constexpr std::size_t kHeaderSize = 9;
constexpr std::size_t kMaxPayload = 1u << 20;
/// Data frames hold at most this many bytes of output.
constexpr std::size_t kMaxData = 64u << 10;
/// What a client grants by attaching.
constexpr std::uint64_t kInitialCredit = 1u << 20;

struct Frame {
  FrameType type = FrameType::kRequest;
  std::uint32_t stream = 0;
  std::string payload;
  friend bool operator==(const Frame&, const Frame&) = default;
};

/// The header of a frame whose payload has `length` bytes.
std::string encode_header(FrameType type, std::uint32_t stream, std::size_t length);
std::string encode(const Frame& frame);

struct Data {
  std::uint64_t offset = 0;
  std::string_view bytes;  ///< borrowed from the frame
};
std::string encode_data(std::uint32_t stream, std::uint64_t offset, std::string_view bytes);
Result<Data> decode_data(const Frame& frame);
std::string encode_credit(std::uint32_t stream, std::uint64_t bytes);
Result<std::uint64_t> decode_credit(const Frame& frame);

/// Cuts a byte stream into frames. An error is final: the peer does not speak this protocol.
class FrameReader final {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next complete frame, absent when more bytes are needed.
  Result<std::optional<Frame>> next();
  bool idle() const { return position_ == buffer_.size(); }
  /// How many bytes are held: after `next` said "absent", less than one frame.
  std::size_t held() const { return buffer_.size(); }

 private:
  std::optional<Frame> incomplete();

  std::string buffer_;
  std::size_t position_ = 0;
};

}  // namespace caisson::wire
