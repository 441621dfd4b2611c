#include "guest/link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace caisson::guest {
namespace {

struct SocketPair {
  Fd ours, theirs;
};
SocketPair make_socket_pair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

/// Both ends of a link, in one process.
class LinkTest : public testing::Test {
 protected:
  LinkTest() {
    ::signal(SIGPIPE, SIG_IGN);
    SocketPair pair = make_socket_pair();
    ours_.emplace(Link::create(std::move(pair.ours)).value());
    theirs_.emplace(Link::create(std::move(pair.theirs)).value());
  }

  /// Until nothing more happens for a moment.
  void settle() {
    for (;;) {
      pollfd polled[] = {{ours_->event_fd(), POLLIN, 0}, {theirs_->event_fd(), POLLIN, 0}};
      if (::poll(polled, 2, 50) <= 0) return;
      ASSERT_TRUE(ours_->run([&](const wire::Frame& f) { return keep(f); }));
      ASSERT_TRUE(theirs_->run([&](const wire::Frame& f) { return keep(f); }));
    }
  }
  void settle_once() {
    ASSERT_TRUE(ours_->run([&](const wire::Frame& f) { return keep(f); }));
    ASSERT_TRUE(theirs_->run([&](const wire::Frame& f) { return keep(f); }));
  }
  Result<> keep(const wire::Frame& frame) {
    messages_.push_back(frame.payload);
    return {};
  }
  /// What can be read at once.
  static std::string take(int fd) {
    EXPECT_TRUE(set_nonblocking(fd));
    std::string all;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(n));
    return all;
  }
  static bool ended(int fd) {
    char byte = 0;
    return ::read(fd, &byte, 1) == 0;
  }

  std::optional<Link> ours_, theirs_;
  std::vector<std::string> messages_;
  Pipe in_ = make_pipe().value(), out_ = make_pipe().value();
};

TEST_F(LinkTest, MessagesArriveInOrder) {
  for (const char* text : {"one", "two", "three"}) ours_->send(wire::FrameType::kRequest, text);
  settle();
  EXPECT_EQ(messages_, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_TRUE(ours_->flushed());
}

TEST_F(LinkTest, AStreamPassesBytesAndItsEnd) {
  ASSERT_TRUE(ours_->read_from(7, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(7, std::move(out_.write)));
  ASSERT_TRUE(write_all(in_.write.get(), "hello", "pipe"));
  settle();
  EXPECT_EQ(take(out_.read.get()), "hello");
  in_.write.reset();
  settle();
  EXPECT_TRUE(ended(out_.read.get()));
  EXPECT_FALSE(theirs_->writes(7));
  EXPECT_FALSE(ours_->reads(7));
}

TEST_F(LinkTest, AFloodDoesNotStallAnother) {
  Pipe other_in = make_pipe().value(), other_out = make_pipe().value();
  ASSERT_TRUE(ours_->read_from(1, open_fd("/dev/zero", O_RDONLY).value()));
  ASSERT_TRUE(theirs_->write_to(1, std::move(out_.write)));  // nobody reads it
  ASSERT_TRUE(ours_->read_from(2, std::move(other_in.read)));
  ASSERT_TRUE(theirs_->write_to(2, std::move(other_out.write)));
  settle();
  ASSERT_TRUE(write_all(other_in.write.get(), "through", "pipe"));
  settle();
  EXPECT_EQ(take(other_out.read.get()), "through");
  EXPECT_FALSE(theirs_->written(1)) << "the flood waits for its reader";
}

TEST_F(LinkTest, MoreThanTheWindowPassesWhenItIsRead) {
  const std::string big(3 * kWindow + 12345, 'x');
  char name[] = "/tmp/link-test-XXXXXX";
  const Fd file(::mkstemp(name));
  ASSERT_TRUE(write_all(file.get(), big, name));
  ASSERT_TRUE(ours_->read_from(3, open_fd(name, O_RDONLY).value()));  // epoll takes no such file
  ::unlink(name);
  ASSERT_TRUE(theirs_->write_to(3, std::move(out_.write)));
  std::string all;
  for (int i = 0; i < 1000 && all.size() < big.size(); ++i) {
    ASSERT_TRUE(ours_->run([&](const wire::Frame& f) { return keep(f); }));
    ASSERT_TRUE(theirs_->run([&](const wire::Frame& f) { return keep(f); }));
    all += take(out_.read.get());
  }
  EXPECT_EQ(all, big);
}

TEST_F(LinkTest, AReaderThatIsGoneEndsTheWriter) {
  ASSERT_TRUE(ours_->read_from(4, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(4, std::move(out_.write)));
  out_.read.reset();
  settle();
  EXPECT_FALSE(ours_->reads(4));
  EXPECT_LT(::write(in_.write.get(), "x", 1), 0);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(LinkTest, WhatIsLeftIsSentAtOnceWithoutCredit) {
  ASSERT_TRUE(ours_->read_from(5, std::move(in_.read)));
  ASSERT_TRUE(write_all(in_.write.get(), "rest", "pipe"));
  ours_->drain(5);
  ours_->send(wire::FrameType::kEvent, "end");
  ASSERT_TRUE(theirs_->write_to(5, std::move(out_.write)));
  settle();
  EXPECT_EQ(take(out_.read.get()), "rest");
  EXPECT_EQ(messages_, (std::vector<std::string>{"end"}));
}

TEST_F(LinkTest, WhatWasSentBeyondTheCreditIsPaidBack) {
  ASSERT_GT(::fcntl(in_.write.get(), F_SETPIPE_SZ, 1 << 20), 0);
  ASSERT_TRUE(theirs_->write_to(5, std::move(out_.write)));
  ASSERT_TRUE(ours_->read_from(5, std::move(in_.read)));
  const std::string piece(600u << 10, 'x');
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(write_all(in_.write.get(), piece, "pipe"));
    ours_->drain(5);
    std::string all;
    for (int i = 0; i < 200 && all.size() < piece.size(); ++i) {
      settle_once();
      all += take(out_.read.get());
    }
    EXPECT_EQ(all.size(), piece.size());
    settle();
  }
}

/// What a copy of a machine needs: nothing under way, and streams from the beginning.
TEST_F(LinkTest, HeldItBeginsNothingAndGoesOnLater) {
  ASSERT_TRUE(ours_->read_from(5, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(5, std::move(out_.write)));
  ASSERT_TRUE(write_all(in_.write.get(), "before", ""));
  settle();
  ours_->hold(true);
  ASSERT_TRUE(write_all(in_.write.get(), "meanwhile", ""));
  settle_once();
  EXPECT_TRUE(ours_->flushed());
  EXPECT_EQ(take(out_.read.get()), "before");
  ours_->hold(false);
  settle();
  EXPECT_EQ(take(out_.read.get()), "meanwhile");
}

TEST_F(LinkTest, BeginsAgainWithAnotherEnd) {
  ASSERT_TRUE(ours_->read_from(5, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(5, std::move(out_.write)));
  ASSERT_TRUE(write_all(in_.write.get(), "before", ""));
  settle();
  EXPECT_EQ(take(out_.read.get()), "before");
  ours_->hold(true);
  ours_->begin_again();
  Pipe other = make_pipe().value();
  ASSERT_TRUE(theirs_->write_to(5, std::move(other.write)));
  ASSERT_TRUE(write_all(in_.write.get(), "after", ""));
  settle();
  EXPECT_EQ(take(other.read.get()), "after");
}

TEST_F(LinkTest, WhatEndsWhileHeldEndsAfterIt) {
  ASSERT_TRUE(ours_->read_from(5, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(5, std::move(out_.write)));
  theirs_->hold(true);
  ASSERT_TRUE(write_all(in_.write.get(), "last", ""));
  in_.write.reset();
  settle_once();
  settle_once();
  EXPECT_EQ(take(out_.read.get()), "");
  theirs_->hold(false);
  settle();
  EXPECT_EQ(take(out_.read.get()), "last");
  EXPECT_TRUE(ended(out_.read.get()));
}

TEST_F(LinkTest, ADescriptorThatOthersHaveIsNotWatchedAfterItsEnd) {
  SocketPair pair = make_socket_pair();
  ASSERT_TRUE(ours_->write_to(6, duplicate(pair.ours.get()).value()));
  ASSERT_TRUE(ours_->read_from(6, duplicate(pair.ours.get()).value()));
  ::shutdown(pair.theirs.get(), SHUT_WR);
  settle();
  pollfd polled{ours_->event_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 50), 0) << "nothing is told again and again";
}

TEST_F(LinkTest, ASocketIsShutDownAtItsEnd) {
  SocketPair pair = make_socket_pair();
  ASSERT_TRUE(ours_->read_from(6, std::move(in_.read)));
  ASSERT_TRUE(theirs_->write_to(6, duplicate(pair.ours.get()).value()));
  in_.write.reset();
  settle();
  EXPECT_TRUE(ended(pair.theirs.get()));
  EXPECT_EQ(::send(pair.theirs.get(), "x", 1, 0), 1) << "the other direction is open";
}

TEST_F(LinkTest, AMasterStaysTheMasterOfItsTerminal) {
  Fd master = open_fd("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK).value();
  int unlock = 0;
  ASSERT_EQ(::ioctl(master.get(), TIOCSPTLCK, &unlock), 0);
  const Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(slave);
  ASSERT_TRUE(ours_->read_from(6, std::move(master)));
  ASSERT_TRUE(theirs_->write_to(6, std::move(out_.write)));
  ASSERT_TRUE(write_all(slave.get(), "typed", "terminal"));
  settle();
  EXPECT_EQ(take(out_.read.get()), "typed");
}

TEST_F(LinkTest, TheEndOfTheOtherSideIsAnError) {
  theirs_.reset();
  const Result<> went = ours_->run([](const wire::Frame&) { return Result<>(); });
  ASSERT_FALSE(went);
  EXPECT_EQ(went.error().reason, "link_closed");
}

/// What a hostile guest may send.
class HostileTest : public testing::Test {
 protected:
  HostileTest() {
    SocketPair pair = make_socket_pair();
    link_.emplace(Link::create(std::move(pair.ours)).value());
    peer_ = std::move(pair.theirs);
    EXPECT_TRUE(link_->write_to(9, std::move(out_.write)));
    EXPECT_TRUE(link_->read_from(8, std::move(in_.read)));
  }
  std::string reason_after(const std::string& bytes) {
    EXPECT_TRUE(set_nonblocking(peer_.get()));
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(peer_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n > 0) at += static_cast<std::size_t>(n);
      const Result<> went = link_->run([](const wire::Frame&) { return Result<>(); });
      if (!went) return went.error().reason;
    }
    const Result<> went = link_->run([](const wire::Frame&) { return Result<>(); });
    return went ? "" : went.error().reason;
  }
  Pipe in_ = make_pipe().value(), out_ = make_pipe().value();
  std::optional<Link> link_;
  Fd peer_;
};

TEST_F(HostileTest, Garbage) { EXPECT_EQ(reason_after(std::string(64, '\xff')), "protocol_error"); }

TEST_F(HostileTest, DataOutOfPlace) {
  EXPECT_EQ(reason_after(wire::encode_data(9, 5, "x")), "protocol_error");
}

TEST_F(HostileTest, DataAfterTheEnd) {
  ASSERT_TRUE(link_->write_to(9, make_pipe().value().write));
  EXPECT_EQ(reason_after(wire::encode_data(9, 0, "") + wire::encode_data(9, 0, "")), "");
}

TEST_F(HostileTest, DataOfAStreamThatThereIsNot) {
  EXPECT_EQ(reason_after(wire::encode_data(12345, 77, "x")), "");
}

TEST_F(HostileTest, MoreThanWasAskedFor) {
  const std::string piece(wire::kMaxData, 'x');
  std::string flood;
  for (std::uint64_t at = 0; at < (8u << 20); at += piece.size())
    flood += wire::encode_data(9, at, piece);
  EXPECT_EQ(reason_after(flood), "protocol_error");
}

TEST_F(HostileTest, CreditWithoutEnd) {
  EXPECT_EQ(reason_after(wire::encode_credit(8, UINT64_MAX)), "protocol_error");
  EXPECT_EQ(reason_after(""), "");
}

}  // namespace
}  // namespace caisson::guest
