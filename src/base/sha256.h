// SHA-256 (FIPS 180-4): the digests of images, the names of cached filters.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace caisson {

/// Takes bytes piece by piece. A value: a copy goes on from where the original stands.
///
///     Sha256 hash;
///     hash.update(piece);
///     const std::string digest = "sha256:" + hash.hex();
class Sha256 final {
 public:
  Sha256();
  void update(std::string_view bytes);
  /// 64 lower-case hexadecimal digits of all bytes so far; more may follow.
  std::string hex() const;

 private:
  // libmd's SHA2_CTX, whose header stays in the .cc.
  struct alignas(8) State {
    std::array<unsigned char, 256> bytes{};
  };
  State state_;
};

/// The 64 lower-case hexadecimal digits of `bytes`.
std::string sha256_hex(std::string_view bytes);

}  // namespace caisson
