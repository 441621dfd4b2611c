// Any bytes as what comes over a control connection: as a stream of frames, cut anywhere, and as a
// document by itself. No crash, bounded memory, and what decodes survives the way there and back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "backend/protocol.h"
#include "wire/cbor.h"
#include "wire/frame.h"

namespace {

using namespace caisson;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_error(const Error& error) { require(error.reason == "protocol_error"); }

/// Decodes, and then what was decoded must encode to something that decodes to the same.
template <class Decode, class Encode>
void check_document(std::string_view payload, Decode decode, Encode encode) {
  const auto first = decode(payload);
  if (!first) return check_error(first.error());
  const std::string bytes = encode(*first);
  const auto second = decode(bytes);
  require(second.has_value() && encode(*second) == bytes);
}

void check_payload(std::string_view payload) {
  check_document(payload, wire::decode_cbor, wire::encode_cbor);
  check_document(payload, backend::decode_request, backend::encode_request);
  check_document(payload, backend::decode_reply, backend::encode_reply);
  check_document(payload, backend::decode_exit, backend::encode_exit);
  if (const auto ended = backend::decode_ended(payload))
    require(backend::decode_ended(backend::encode_ended(*ended)).has_value());
}

void check_frame(const wire::Frame& frame) {
  require(frame.payload.size() <= wire::kMaxPayload);
  const auto data = wire::decode_data(frame);
  if (data) require(data->bytes.size() + sizeof data->offset == frame.payload.size());
  const auto credit = wire::decode_credit(frame);
  require(credit.has_value() == (frame.payload.size() == 8));
  check_payload(frame.payload);
}

/// Feeds pieces of `step` bytes; returns how many frames came out.
int read_stream(std::string_view bytes, std::size_t step, bool check) {
  wire::FrameReader reader;
  int frames = 0;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
    for (;;) {
      const auto frame = reader.next();
      if (!frame) return check_error(frame.error()), frames;
      if (!*frame) break;
      ++frames;
      if (check) check_frame(**frame);
    }
    require(reader.held() < wire::kHeaderSize + wire::kMaxPayload);
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_payload(bytes);
  const int whole = read_stream(bytes, size == 0 ? 1 : size, true);
  // The first byte chooses where the stream is cut; frames do not depend on it.
  if (size > 0) require(read_stream(bytes, 1u + data[0] % 16, false) == whole);
  return 0;
}
