#include "wire/frame.h"

#include <gtest/gtest.h>

#include <random>

namespace caisson::wire {
namespace {

std::vector<Frame> read_all_frames(FrameReader& reader) {
  std::vector<Frame> frames;
  for (;;) {
    Result<std::optional<Frame>> frame = reader.next();
    EXPECT_TRUE(frame);
    if (!frame || !*frame) return frames;
    frames.push_back(std::move(**frame));
  }
}

std::vector<Frame> samples() {
  return {{FrameType::kRequest, 0, "abc"},
          {FrameType::kReply, 0, ""},
          {FrameType::kEvent, 7, std::string(300, '\0')},
          {FrameType::kData, 0xffffffff, std::string(100'000, 'x')},
          {FrameType::kCredit, 2, std::string(8, '\xff')}};
}

TEST(Frame, HeaderIsLittleEndian) {
  EXPECT_EQ(encode_header(FrameType::kData, 0x01020304, 0x0a0b),
            std::string("\x0b\x0a\x00\x00\x04\x04\x03\x02\x01", 9));
  EXPECT_EQ(encode({FrameType::kReply, 1, "hi"}), std::string("\x02\0\0\0\x02\x01\0\0\0hi", 11));
}

TEST(Frame, RoundTripInOnePiece) {
  std::string bytes;
  for (const Frame& frame : samples()) bytes += encode(frame);
  FrameReader reader;
  reader.feed(bytes);
  EXPECT_EQ(read_all_frames(reader), samples());
  EXPECT_TRUE(reader.idle());
}

TEST(Frame, ByteByByte) {
  FrameReader reader;
  std::vector<Frame> frames;
  for (const Frame& frame : samples())
    for (char c : encode(frame)) {
      reader.feed({&c, 1});
      for (Frame& whole : read_all_frames(reader)) frames.push_back(std::move(whole));
    }
  EXPECT_EQ(frames, samples());
}

TEST(Frame, PiecesOfAnySize) {
  std::string bytes;
  std::vector<Frame> sent;
  for (int i = 0; i < 20; ++i)
    for (Frame& frame : samples()) {
      bytes += encode(frame);
      sent.push_back(std::move(frame));
    }
  std::mt19937 random(1);
  FrameReader reader;
  std::vector<Frame> frames;
  for (std::string_view rest = bytes; !rest.empty();) {
    const auto piece = rest.substr(0, random() % 70'000);
    reader.feed(piece);
    rest.remove_prefix(piece.size());
    for (Frame& frame : read_all_frames(reader)) frames.push_back(std::move(frame));
  }
  EXPECT_EQ(frames, sent);
}

TEST(Frame, LongestAndTooLong) {
  FrameReader reader;
  const Frame longest{FrameType::kRequest, 0, std::string(kMaxPayload, 'x')};
  reader.feed(encode(longest));
  EXPECT_EQ(read_all_frames(reader), std::vector{longest});
  // Refused as soon as the header is there, before any of the payload.
  reader.feed(encode_header(FrameType::kRequest, 0, kMaxPayload + 1));
  EXPECT_EQ(reader.next().error().reason, "protocol_error");
  FrameReader other;
  other.feed("\xff\xff\xff\xff\x01\0\0\0\0");
  other.feed(std::string("\0\0\0\0", 4));
  EXPECT_FALSE(other.next());
}

TEST(Frame, UnknownTypes) {
  for (int type : {0, 6, 7, 127, 255}) {
    FrameReader reader;
    std::string bytes = encode({FrameType::kData, 1, "x"});
    bytes[4] = static_cast<char>(type);
    reader.feed(bytes);
    EXPECT_EQ(reader.next().error().reason, "protocol_error") << type;
  }
}

TEST(Frame, ReaderHoldsLessThanOneFrameWhereverItIsCut) {
  const std::string one = encode({FrameType::kCredit, 1, std::string(100, 'c')});
  for (std::size_t shift = 0; shift < one.size(); ++shift) {
    FrameReader reader;
    reader.feed(one.substr(0, shift));
    std::string piece = one.substr(shift) + one + one + one.substr(0, shift);
    for (int i = 0; i < 50; ++i) {
      reader.feed(piece);
      EXPECT_EQ(read_all_frames(reader).size(), 3u);
      ASSERT_LT(reader.held(), one.size()) << "cut at " << shift;
    }
  }
}

TEST(Frame, DataAndCredit) {
  FrameReader reader;
  reader.feed(encode_data(2, 0x1122334455667788, "bytes"));
  reader.feed(encode_credit(1, UINT64_MAX));
  const std::vector<Frame> frames = read_all_frames(reader);
  ASSERT_EQ(frames.size(), 2u);
  const Data data = decode_data(frames[0]).value();
  EXPECT_EQ(data.offset, 0x1122334455667788u);
  EXPECT_EQ(data.bytes, "bytes");
  EXPECT_EQ(decode_credit(frames[1]).value(), UINT64_MAX);
  EXPECT_FALSE(decode_data({FrameType::kData, 1, "1234567"}));
  EXPECT_EQ(decode_data({FrameType::kData, 1, "12345678"}).value().bytes, "");
  EXPECT_FALSE(decode_credit({FrameType::kCredit, 1, "1234567"}));
  EXPECT_FALSE(decode_credit({FrameType::kCredit, 1, "123456789"}));
}

}  // namespace
}  // namespace caisson::wire
