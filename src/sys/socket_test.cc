#include "sys/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/unit_test_support.h"

namespace caisson::sys {
namespace {

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(Socket, PassesDescriptorsWithTheirData) {
  const SocketPair pair = make_socket_pair(SOCK_STREAM).value();
  Pipe pipe = make_pipe().value();
  EXPECT_EQ(send_with_fds(pair.ours.get(), "hello", {pipe.write.get()}), 5);
  pipe.write.reset();
  char buffer[16];
  Received got = receive_with_fds(pair.theirs.get(), buffer, sizeof buffer);
  ASSERT_EQ(got.bytes, 5);
  ASSERT_EQ(got.fds.size(), 1u);
  EXPECT_NE(::fcntl(got.fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(write_all(got.fds[0].get(), "through", "pipe"));
  got.fds.clear();
  EXPECT_EQ(read_all(pipe.read.get(), 100, "pipe").value(), "through");
}

TEST(Socket, EightDescriptorsAreTheMost) {
  const SocketPair pair = make_socket_pair(SOCK_STREAM).value();
  const std::vector<int> eight(8, 0), nine(9, 0);
  EXPECT_EQ(send_with_fds(pair.ours.get(), "x", nine), -E2BIG);
  EXPECT_EQ(send_with_fds(pair.ours.get(), "x", eight), 1);
  char byte = 0;
  EXPECT_EQ(receive_with_fds(pair.theirs.get(), &byte, 1).fds.size(), 8u);
}

TEST(Socket, APeerThatSendsMoreLeaksNothing) {
  const SocketPair pair = make_socket_pair(SOCK_STREAM).value();
  const std::size_t before = open_descriptors();
  for (int round = 0; round < 3; ++round) {
    // By hand, because send_with_fds does not do this.
    constexpr std::size_t kMany = 200;
    std::vector<char> control(CMSG_SPACE(sizeof(int) * kMany));
    char byte = 'x';
    iovec vector{&byte, 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * kMany);
    std::fill_n(reinterpret_cast<int*>(CMSG_DATA(header)), kMany, 0);
    ASSERT_EQ(::sendmsg(pair.ours.get(), &message, 0), 1);
    const Received got = receive_with_fds(pair.theirs.get(), &byte, 1);
    EXPECT_EQ(got.bytes, 1);
    EXPECT_EQ(got.fds.size(), 8u);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Socket, EndAndErrors) {
  SocketPair pair = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(set_nonblocking(pair.ours.get()));
  char byte = 0;
  EXPECT_EQ(receive_with_fds(pair.ours.get(), &byte, 1).bytes, -EAGAIN);
  pair.theirs.reset();
  EXPECT_EQ(receive_with_fds(pair.ours.get(), &byte, 1).bytes, 0);
  EXPECT_EQ(send_with_fds(pair.ours.get(), "x", {}), -EPIPE) << "and no SIGPIPE";
  EXPECT_EQ(receive_with_fds(-1, &byte, 1).bytes, -EBADF);
}

TEST(Socket, AFullSocketTakesAPart) {
  const SocketPair pair = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(set_nonblocking(pair.ours.get()));
  const std::string data(8u << 20, 'x');
  const ssize_t sent = send_with_fds(pair.ours.get(), data, {});
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<ssize_t>(data.size()));
  EXPECT_EQ(send_with_fds(pair.ours.get(), data, {}), -EAGAIN);
}

TEST(Socket, ListensInADirectoryWhosePathIsLong) {
  const TestDirectory test;
  std::string path = test.path();
  for (int i = 0; i < 10; ++i) path += "/" + std::string(100, 'd');
  std::filesystem::create_directories(path);
  const Fd dir = open_fd(path, O_PATH | O_DIRECTORY).value();
  const Fd listener = listen_at(dir.get(), "box.sock").value();
  const Fd client = connect_at(dir.get(), "box.sock").value();
  const Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(server);
  EXPECT_TRUE(trusts_peer(server.get(), false).value());
  EXPECT_TRUE(trusts_peer(server.get(), true).value());
  EXPECT_EQ(listen_at(dir.get(), "box.sock").error().sys_errno, EADDRINUSE);
}

TEST(Socket, NobodyListens) {
  const TestDirectory test;
  const Fd dir = open_fd(test.path(), O_PATH | O_DIRECTORY).value();
  EXPECT_EQ(connect_at(dir.get(), "none").error().sys_errno, ENOENT);
  listen_at(dir.get(), "left").value();
  EXPECT_EQ(connect_at(dir.get(), "left").error().sys_errno, ECONNREFUSED);
  EXPECT_EQ(connect_at(dir.get(), std::string(120, 'n')).error().sys_errno, ENAMETOOLONG);
}

}  // namespace
}  // namespace caisson::sys
