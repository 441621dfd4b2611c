// Documents of a file session: the first byte chooses which; what is decoded is encoded to the
// same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "files/protocol.h"

using namespace caisson::files;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 0) {
    const auto request = decode_request(text);
    if (request && decode_request(encode_request(*request)).value() != *request) std::abort();
  } else if (data[0] % 4 == 1) {
    const auto answer = decode_answer(text);
    if (answer && !decode_answer(encode_answer(*answer))) std::abort();
  } else if (data[0] % 4 == 2) {
    const auto infos = decode_infos(text);
    if (infos && decode_infos(encode_infos(*infos)).value() != *infos) std::abort();
  } else {
    const auto event = decode_event(text);
    if (event && decode_event(encode_event(*event)).value() != *event) std::abort();
  }
  return 0;
}
