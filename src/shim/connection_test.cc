#include "shim/connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "sys/socket.h"

namespace caisson::shim {
namespace {

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest()
      : pair_(sys::make_socket_pair(SOCK_STREAM).value()), connection_(std::move(pair_.theirs)) {
    EXPECT_TRUE(set_nonblocking(connection_.fd()));
    EXPECT_TRUE(set_nonblocking(pair_.ours.get()));
  }
  void send(std::string_view bytes, const std::vector<int>& fds = {}) const {
    ASSERT_EQ(sys::send_with_fds(pair_.ours.get(), bytes, fds), static_cast<ssize_t>(bytes.size()));
  }
  /// What has arrived at the client.
  std::vector<wire::Frame> frames() {
    char buffer[65536];
    for (;;) {
      sys::Received got = sys::receive_with_fds(pair_.ours.get(), buffer, sizeof buffer);
      if (got.bytes <= 0) break;
      for (Fd& fd : got.fds) fds_.push_back(std::move(fd));
      reader_.feed({buffer, static_cast<std::size_t>(got.bytes)});
    }
    std::vector<wire::Frame> list;
    for (;;) {
      auto frame = reader_.next();
      if (!frame || !*frame) return list;
      list.push_back(std::move(**frame));
    }
  }

  sys::SocketPair pair_;
  Connection connection_;
  wire::FrameReader reader_;
  std::vector<Fd> fds_;
};

TEST_F(ConnectionTest, ReceivesFramesInPieces) {
  const std::string frame = wire::encode({wire::FrameType::kRequest, 0, "payload"});
  send(frame.substr(0, 5));
  EXPECT_TRUE(connection_.receive());
  EXPECT_FALSE(connection_.next().value());
  send(frame.substr(5));
  EXPECT_TRUE(connection_.receive());
  EXPECT_EQ((*connection_.next().value()).payload, "payload");
  pair_.ours.reset();
  EXPECT_FALSE(connection_.receive());
}

TEST_F(ConnectionTest, AReplyCountsAndCarriesItsDescriptors) {
  std::vector<Fd> fds;
  fds.push_back(open_fd("/dev/null", O_RDONLY).value());
  fds.push_back(open_fd("/dev/zero", O_RDONLY).value());
  connection_.reply({}, std::move(fds));
  EXPECT_TRUE(connection_.pending());
  ASSERT_TRUE(connection_.flush());
  EXPECT_FALSE(connection_.pending());
  const auto received = frames();
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(backend::decode_reply(received[0].payload).value().fds, 2);
  EXPECT_EQ(fds_.size(), 2u);
}

TEST_F(ConnectionTest, AClientThatSendsDescriptorsForNothingHoldsFew) {
  const std::vector<int> eight(8, 0);
  for (int i = 0; i < 5; ++i) send("x", eight);
  EXPECT_TRUE(connection_.receive());
  EXPECT_LE(connection_.take_fds().size(), 8u);
}

TEST_F(ConnectionTest, AClientThatNeverReadsDoesNotBlock) {
  connection_.grant(UINT64_MAX);
  const std::string block(wire::kMaxData, 'x');
  for (int i = 0; i < 200; ++i) connection_.send_data(1, 0, block);
  EXPECT_TRUE(connection_.flush());
  EXPECT_TRUE(connection_.pending());
  std::size_t bytes = 0;
  while (connection_.pending()) {
    for (const wire::Frame& frame : frames())
      bytes += wire::decode_data(frame).value().bytes.size();
    ASSERT_TRUE(connection_.flush());
  }
  for (const wire::Frame& frame : frames()) bytes += wire::decode_data(frame).value().bytes.size();
  EXPECT_EQ(bytes, 200 * block.size());
}

TEST_F(ConnectionTest, DataIsCutIntoFramesAndCostsCredit) {
  connection_.grant(200'000);
  connection_.send_data(2, 1000, std::string(wire::kMaxData + 10, 'x'));
  EXPECT_EQ(connection_.credit(), 200'000 - wire::kMaxData - 10);
  ASSERT_TRUE(connection_.flush());
  const auto received = frames();
  ASSERT_EQ(received.size(), 2u);
  EXPECT_EQ(received[1].stream, 2u);
  EXPECT_EQ(wire::decode_data(received[1]).value().offset, 1000 + wire::kMaxData);
  EXPECT_EQ(wire::decode_data(received[1]).value().bytes.size(), 10u);
}

TEST_F(ConnectionTest, CreditIsBelievedAsFarAsTheQueueGoes) {
  connection_.grant(UINT64_MAX);
  connection_.grant(10);
  const std::uint64_t most = connection_.credit();
  EXPECT_GT(most, wire::kMaxData);
  EXPECT_LT(most, 16u << 20);
  connection_.send_data(1, 0, std::string(1000, 'x'));
  EXPECT_LE(connection_.credit(), most - 1000);
  EXPECT_EQ(connection_.interest(), EPOLLIN | EPOLLOUT);
  while (connection_.credit() > 0) connection_.send_data(1, 0, std::string(100'000, 'x'));
  EXPECT_EQ(connection_.interest(), EPOLLOUT) << "and no further request is read";
}

TEST_F(ConnectionTest, AGoneClientIsNoticed) {
  pair_.ours.reset();
  connection_.send_exit({});
  EXPECT_FALSE(connection_.flush());
  EXPECT_FALSE(connection_.receive());
}

}  // namespace
}  // namespace caisson::shim
