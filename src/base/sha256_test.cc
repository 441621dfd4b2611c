#include "base/sha256.h"

#include <gtest/gtest.h>

namespace caisson {
namespace {

TEST(Sha256, KnownVectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAreTheWhole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t size : {1u, 3u, 63u, 64u, 65u}) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += size)
      hash.update(std::string_view(text).substr(at, size));
    EXPECT_EQ(hash.hex(), sha256_hex(text)) << size;
  }
}

TEST(Sha256, GoesOnAfterItWasAsked) {
  Sha256 hash;
  hash.update("a");
  const Sha256 copy = hash;
  EXPECT_EQ(hash.hex(), sha256_hex("a"));
  hash.update("bc");
  EXPECT_EQ(hash.hex(), sha256_hex("abc"));
  EXPECT_EQ(copy.hex(), sha256_hex("a"));
}

}  // namespace
}  // namespace caisson
