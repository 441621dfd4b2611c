#include "wire/cbor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace caisson::wire {
namespace {

using nlohmann::json;

/// {"a": x} with the CBOR of x given as hexadecimal digits.
std::string map_of(std::string_view hex) {
  std::string bytes =
      "\xa1\x61"
      "a";
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

/// `levels` of nesting in all, the map included.
std::string nested(int levels) {
  std::string bytes =
      "\xa1\x61"
      "a";
  bytes.append(static_cast<std::size_t>(levels - 1), '\x81');
  return bytes + '\x01';
}

void refuse(std::string_view bytes, std::string_view what) {
  const auto decoded = decode_cbor(bytes);
  ASSERT_FALSE(decoded) << what;
  EXPECT_EQ(decoded.error().reason, "protocol_error") << what;
  EXPECT_EQ(decoded.error().code, Code::kInvalidArgument) << what;
}

TEST(Cbor, RoundTrip) {
  const json document = {{"text", "ä"},
                         {"bytes", json::binary({0, 255, 128})},
                         {"numbers", {0, 23, 24, 255, 65536, -1, INT64_MIN, UINT64_MAX, 0.5}},
                         {"flags", {true, false, nullptr}},
                         {"empty", {json::object(), json::array(), ""}}};
  EXPECT_EQ(decode_cbor(encode_cbor(document)).value(), document);
}

TEST(Cbor, OnlyAMapIsADocument) {
  refuse("", "nothing");
  for (const char* bytes : {"\x01", "\x80", "\x61x", "\xf6", "\xf5"}) refuse(bytes, bytes);
  EXPECT_TRUE(decode_cbor("\xa0"));
}

TEST(Cbor, NestingEndsAtSixteen) {
  EXPECT_TRUE(decode_cbor(nested(16)));
  refuse(nested(17), "17 levels");
  refuse(nested(1'000'000), "a million levels");
  std::string maps;
  for (int i = 0; i < 100'000; ++i) maps += "\xa1\x61k";
  refuse(maps, "maps");
  refuse(
      "\xa1\x61"
      "a" +
          std::string(100'000, '\x9f'),
      "indefinite arrays");
}

TEST(Cbor, WideIsNotDeep) {
  json wide = json::array();
  for (int i = 0; i < 1000; ++i) wide.push_back({{"k", json::array()}});
  EXPECT_TRUE(decode_cbor(encode_cbor({{"a", wide}})));
}

TEST(Cbor, IndefiniteLengths) {
  EXPECT_EQ(decode_cbor(map_of("9f0102ff")).value(), json({{"a", {1, 2}}}));
  EXPECT_EQ(decode_cbor(map_of("7f61786179ff")).value(), json({{"a", "xy"}}));
  EXPECT_EQ(decode_cbor(std::string("\xbf\x61"
                                    "a\x01\xff"))
                .value(),
            json({{"a", 1}}));
  refuse(map_of("9f01"), "array without end");
  refuse(map_of("7f6178"), "text without end");
  refuse(std::string("\xbf\x61"
                     "a\x01"),
         "map without end");
  refuse(map_of("7f01ff"), "a number as a piece of text");
}

TEST(Cbor, DeclaredSizesAreNotBelieved) {
  refuse(map_of("9bffffffffffffffff"), "array of 2^64-1");
  refuse(map_of("9b7fffffffffffffff01"), "array of 2^63-1");
  refuse(map_of("9a7fffffff01"), "array of 2^31-1");
  refuse(map_of("9a0010000101"), "array of 2^20+1");
  refuse(map_of("bbffffffffffffffff"), "map of 2^64-1");
  refuse(map_of("bb00000000ffffffff"), "map of 2^32-1");
  refuse(map_of("7bffffffffffffffff78"), "text of 2^64-1");
  refuse(map_of("5bffffffffffffffff78"), "bytes of 2^64-1");
  refuse(map_of("5a7fffffff78"), "bytes of 2^31-1");
}

TEST(Cbor, OneDocumentAndNothingBehind) {
  const std::string good = encode_cbor({{"a", 1}});
  refuse(good + '\0', "a trailing byte");
  refuse(good + good, "two documents");
  for (std::size_t length = 0; length < good.size(); ++length)
    refuse(std::string_view(good).substr(0, length), "cut short");
}

TEST(Cbor, WhatJsonCannotSay) {
  refuse(std::string("\xa1\x01\x01"), "a number as a key");
  refuse(map_of("c001"), "a tag");
  refuse(map_of("f7"), "undefined");
  refuse(map_of("1c"), "a reserved length");
  refuse(map_of("ff"), "a break alone");
}

/// A random document at most `depth` deep.
json random_value(std::mt19937& random, int depth) {
  const auto kind = random() % (depth > 0 ? 9u : 7u);
  if (kind == 0) return nullptr;
  if (kind == 1) return random() % 2 == 0;
  if (kind == 2) return static_cast<std::int64_t>(random()) - (1ll << 31);
  if (kind == 3) return (static_cast<std::uint64_t>(random()) << 32) | random();
  if (kind == 4) return static_cast<double>(random()) / 7;
  std::string text(random() % 30, '\0');
  for (char& c : text) c = static_cast<char>(random());
  if (kind == 5) return text;
  if (kind == 6) return json::binary({text.begin(), text.end()});
  json value = kind == 7 ? json::array() : json::object();
  for (auto i = random() % 6; i > 0; --i) {
    if (kind == 7) value.push_back(random_value(random, depth - 1));
    if (kind == 8) value[std::to_string(random())] = random_value(random, depth - 1);
  }
  return value;
}

TEST(Cbor, RandomDocumentsSurviveAndDamageIsHarmless) {
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    const json document = {{"a", random_value(random, 6)}, {"b", random_value(random, 6)}};
    std::string bytes = encode_cbor(document);
    ASSERT_EQ(decode_cbor(bytes).value(), document);
    for (int damage = 0; damage < 4; ++damage) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
      const auto decoded = decode_cbor(bytes);
      EXPECT_TRUE(decoded || decoded.error().reason == "protocol_error");
    }
  }
}

}  // namespace
}  // namespace caisson::wire
