// What caisson-fetch is told and says: what is accepted comes back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "image/fetch_protocol.h"

namespace image = caisson::image;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto request = image::decode_fetch_request(text))
    if (image::decode_fetch_request(image::encode(*request)) != *request) std::abort();
  if (const auto message = image::decode_fetch_message(text))
    if (image::decode_fetch_message(image::encode(*message)) != *message) std::abort();
  return 0;
}
