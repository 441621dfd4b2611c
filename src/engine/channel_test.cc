#include "engine/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "sys/socket.h"

namespace caisson::engine {
namespace {

using namespace std::chrono_literals;

class ChannelTest : public testing::Test {
 protected:
  ChannelTest()
      : pair_(sys::make_socket_pair(SOCK_STREAM).value()), channel_(std::move(pair_.ours)) {}
  void answer(std::string_view bytes, const std::vector<int>& fds = {}) const {
    ASSERT_EQ(sys::send_with_fds(pair_.theirs.get(), bytes, fds),
              static_cast<ssize_t>(bytes.size()));
  }
  static std::string reply_frame(const backend::Reply& reply) {
    return wire::encode({wire::FrameType::kReply, 0, backend::encode_reply(reply)});
  }

  sys::SocketPair pair_;
  Channel channel_;
};

TEST_F(ChannelTest, SendsARequestWithItsDescriptors) {
  ASSERT_TRUE(channel_.send(backend::SignalRequest{9}, {0, 1, 2}));
  char buffer[1000];
  const sys::Received got = sys::receive_with_fds(pair_.theirs.get(), buffer, sizeof buffer);
  EXPECT_EQ(got.fds.size(), 3u);
  wire::FrameReader reader;
  reader.feed({buffer, static_cast<std::size_t>(got.bytes)});
  const auto frame = reader.next().value();
  const backend::Request request = backend::decode_request(frame->payload).value();
  EXPECT_EQ(std::get<backend::SignalRequest>(request).number, 9);
}

TEST_F(ChannelTest, ARequestThatDoesNotFitIsAnError) {
  backend::ExecRequest request;
  request.spec.command = {std::string(wire::kMaxPayload, 'x')};
  EXPECT_EQ(channel_.send(request).error().reason, "request_too_large");
}

TEST_F(ChannelTest, RepliesInPieces) {
  const std::string frame = reply_frame({.usage = Usage{.pids = 3}, .fds = 1});
  answer(frame.substr(0, 7), {0});
  EXPECT_FALSE(channel_.poll_frame().value());
  EXPECT_EQ(channel_.receive(in(1ms)).error().code, Code::kDeadlineExceeded);
  answer(frame.substr(7));
  EXPECT_EQ(channel_.reply(in(10s)).value().usage->pids, 3u);
  EXPECT_EQ(channel_.take_fds().size(), 1u);
  EXPECT_TRUE(channel_.take_fds().empty());
}

TEST_F(ChannelTest, AReplyWithAnErrorIsThatError) {
  const Error sent = make_error(Code::kNotFound, "program_not_found", "start 'x'", "look");
  answer(reply_frame({.error = sent}));
  EXPECT_EQ(channel_.reply(in(10s)).error(), sent);
}

TEST_F(ChannelTest, WhatIsNoReply) {
  answer(wire::encode_credit(1, 5));
  EXPECT_EQ(channel_.reply(in(10s)).error().reason, "protocol_error");
  answer(wire::encode({wire::FrameType::kReply, 0, "not cbor"}));
  EXPECT_EQ(channel_.reply(in(10s)).error().reason, "protocol_error");
  answer(std::string(9, '\xff'));
  EXPECT_EQ(channel_.reply(in(10s)).error().reason, "protocol_error");
}

TEST_F(ChannelTest, AGoneShim) {
  answer(reply_frame({}));
  pair_.theirs.reset();
  EXPECT_TRUE(channel_.reply(in(10s))) << "what it said before counts";
  EXPECT_EQ(channel_.receive(in(10s)).error().reason, "box_gone");
  EXPECT_EQ(channel_.send(backend::WaitRequest{}).error().code, Code::kUnavailable);
}

TEST(PollTimeout, OfDeadlines) {
  EXPECT_EQ(poll_timeout({}), -1);
  EXPECT_EQ(poll_timeout(in(-1s)), 0);
  EXPECT_EQ(poll_timeout(std::chrono::steady_clock::time_point::max()), 1'000'000'000);
  EXPECT_GT(poll_timeout(in(100us)), 0) << "rounded up, or waiting would spin";
}

}  // namespace
}  // namespace caisson::engine
