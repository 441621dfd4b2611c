// Any header value: no crash, and the promised bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/auth_challenge.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto challenges =
      caisson::spec::parse_challenges({reinterpret_cast<const char*>(data), size});
  require(challenges.size() <= 16);
  for (const auto& challenge : challenges) {
    require(!challenge.scheme.empty() && challenge.parameters.size() <= 32);
    for (const auto& [name, value] : challenge.parameters) {
      require(!name.empty());
      // They become parts of requests: no line may be made by them.
      require(value.find_first_of("\r\n") == std::string::npos);
    }
  }
  return 0;
}
