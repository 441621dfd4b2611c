#include "wire/frame.h"

namespace caisson::wire {
namespace {

template <class T>
void put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

template <class T>
T get(std::string_view in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(in[i])) << (8 * i));
  return value;
}

Error protocol_error(std::string message) {
  return make_error(Code::kInvalidArgument, "protocol_error", std::move(message));
}

}  // namespace

std::string encode_header(FrameType type, std::uint32_t stream, std::size_t length) {
  std::string out;
  out.reserve(kHeaderSize + length);
  put(out, static_cast<std::uint32_t>(length));
  out.push_back(static_cast<char>(type));
  put(out, stream);
  return out;
}

std::string encode(const Frame& frame) {
  std::string out = encode_header(frame.type, frame.stream, frame.payload.size());
  out += frame.payload;
  return out;
}

std::string encode_data(std::uint32_t stream, std::uint64_t offset, std::string_view bytes) {
  std::string out = encode_header(FrameType::kData, stream, sizeof offset + bytes.size());
  put(out, offset);
  out += bytes;
  return out;
}

Result<Data> decode_data(const Frame& frame) {
  if (frame.payload.size() < sizeof(std::uint64_t))
    return protocol_error("decode data frame: shorter than its offset");
  const std::string_view payload = frame.payload;
  return Data{get<std::uint64_t>(payload), payload.substr(sizeof(std::uint64_t))};
}

std::string encode_credit(std::uint32_t stream, std::uint64_t bytes) {
  std::string out = encode_header(FrameType::kCredit, stream, sizeof bytes);
  put(out, bytes);
  return out;
}

Result<std::uint64_t> decode_credit(const Frame& frame) {
  if (frame.payload.size() != sizeof(std::uint64_t))
    return protocol_error("decode credit frame: not eight bytes");
  return get<std::uint64_t>(frame.payload);
}

/// Keeps what is incomplete at the front, so that the buffer stays bounded by one frame.
std::optional<Frame> FrameReader::incomplete() {
  buffer_.erase(0, position_);
  position_ = 0;
  return std::nullopt;
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(position_);
  if (rest.size() < kHeaderSize) return incomplete();
  const auto length = get<std::uint32_t>(rest);
  const auto type = static_cast<std::uint8_t>(rest[4]);
  if (length > kMaxPayload)
    return protocol_error(
        format("decode frame: length {} above the limit {}", length, kMaxPayload));
  if (type < 1 || type > 5) return protocol_error(format("decode frame: unknown type {}", type));
  if (rest.size() < kHeaderSize + length) return incomplete();
  Frame frame{static_cast<FrameType>(type), get<std::uint32_t>(rest.substr(5)),
              std::string(rest.substr(kHeaderSize, length))};
  position_ += kHeaderSize + length;
  if (position_ == buffer_.size()) {
    buffer_.clear();
    position_ = 0;
  }
  return std::optional<Frame>(std::move(frame));
}

}  // namespace caisson::wire
