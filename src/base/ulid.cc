#include "base/ulid.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace caisson {
namespace {
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
}

Result<std::string> make_ulid() {
  unsigned char random[10];
  if (::getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
    return sys_error("read random bytes", "");
  std::string id(26, '0');
  auto ms = static_cast<std::uint64_t>(wall_ns() / 1'000'000);
  for (int i = 9; i >= 0; --i, ms >>= 5) id[static_cast<std::size_t>(i)] = kAlphabet[ms & 31];
  // 80 random bits are sixteen groups of five.
  std::uint64_t bits = 0;
  int have = 0;
  std::size_t next = 0;
  for (std::size_t i = 10; i < 26; ++i) {
    if (have < 5) {
      bits = (bits << 8) | random[next++];
      have += 8;
    }
    have -= 5;
    id[i] = kAlphabet[(bits >> have) & 31];
  }
  return id;
}

bool is_ulid(std::string_view text) {
  return text.size() == 26 &&
         std::ranges::all_of(text, [](char c) { return kAlphabet.contains(c); });
}

}  // namespace caisson
