#include "shim/poller.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include "base/clock.h"

namespace caisson::shim {
namespace {

class PollerTest : public testing::Test {
 protected:
  /// Bounds a wait in which nothing is to happen.
  void run_for(std::int64_t ns) {
    bool over = false;
    poller_.after(ns, [&] { over = true; });
    while (!over) poller_.run_once();
  }
  static void put(const Pipe& pipe) { EXPECT_TRUE(write_all(pipe.write.get(), "x", "pipe")); }
  static void take(const Pipe& pipe) {
    char byte = 0;
    EXPECT_EQ(::read(pipe.read.get(), &byte, 1), 1);
  }

  static constexpr std::int64_t kMoment = 5'000'000;
  Poller poller_ = Poller::create().value();
  Pipe a_ = make_pipe().value(), b_ = make_pipe().value();
};

TEST_F(PollerTest, CallsTheHandlerOfAReadyDescriptor) {
  int calls = 0;
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t events) {
    EXPECT_EQ(events, static_cast<std::uint32_t>(EPOLLIN));
    ++calls;
    take(a_);
  });
  run_for(kMoment);
  EXPECT_EQ(calls, 0);
  put(a_);
  poller_.run_once();
  EXPECT_EQ(calls, 1);
  run_for(kMoment);
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, QuietAndLoudAgain) {
  int calls = 0;
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t) { ++calls; });
  put(a_);
  poller_.change(a_.read.get(), 0);
  run_for(kMoment);
  EXPECT_EQ(calls, 0);
  a_.write.reset();  // end of file is reported even to those who asked for nothing
  run_for(kMoment);
  EXPECT_EQ(calls, 0);
  poller_.change(a_.read.get(), EPOLLIN);
  poller_.run_once();
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, WatchingAgainReplacesTheHandlerAlsoOfAQuietOne) {
  int first = 0, second = 0;
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t) { ++first; });
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t) { ++second; });
  put(a_);
  poller_.run_once();
  poller_.change(a_.read.get(), 0);
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t) { ++second; });
  poller_.run_once();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 2);
}

TEST_F(PollerTest, AHandlerMayForgetItselfAndTheOther) {
  int calls = 0;
  const auto both = [&](std::uint32_t) {
    ++calls;
    poller_.forget(a_.read.get());
    poller_.forget(b_.read.get());
  };
  poller_.watch(a_.read.get(), EPOLLIN, both);
  poller_.watch(b_.read.get(), EPOLLIN, both);
  put(a_);
  put(b_);
  poller_.run_once();
  run_for(kMoment);
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, AHandlerMayQuietenTheOther) {
  int calls = 0;
  const auto quieten = [&](std::uint32_t) {
    ++calls;
    poller_.change(a_.read.get(), 0);
    poller_.change(b_.read.get(), 0);
  };
  poller_.watch(a_.read.get(), EPOLLIN, quieten);
  poller_.watch(b_.read.get(), EPOLLIN, quieten);
  put(a_);
  put(b_);
  poller_.run_once();
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, AHandlerMayWatchMore) {
  int calls = 0;
  put(a_);
  put(b_);
  poller_.watch(a_.read.get(), EPOLLIN, [&](std::uint32_t) {
    take(a_);
    poller_.watch(b_.read.get(), EPOLLIN, [&](std::uint32_t) {
      take(b_);
      ++calls;
    });
  });
  poller_.run_once();
  poller_.run_once();
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, UnknownDescriptorsAreIgnored) {
  poller_.change(9999, EPOLLIN);
  poller_.forget(9999);
}

TEST_F(PollerTest, TimersRunInOrderAndNotEarly) {
  std::string order;
  const std::int64_t begin = boot_ns();
  poller_.after(2 * kMoment, [&] { order += "b"; });
  poller_.after(kMoment, [&] { order += "a"; });
  poller_.after(3 * kMoment, [&] { order += "c"; });
  while (order.size() < 3) poller_.run_once();
  EXPECT_EQ(order, "abc");
  EXPECT_GE(boot_ns() - begin, 3 * kMoment);
}

TEST_F(PollerTest, CancelledTimersDoNotRun) {
  int calls = 0;
  const Poller::TimerId one = poller_.after(0, [&] { ++calls; });
  poller_.cancel(one);
  poller_.cancel(one);
  poller_.cancel(12345);
  run_for(kMoment);
  EXPECT_EQ(calls, 0);
}

TEST_F(PollerTest, ATimerMayStartTheNextAndCancelAnother) {
  int calls = 0;
  const Poller::TimerId later = poller_.after(2 * kMoment, [&] { calls += 100; });
  poller_.after(kMoment, [&] {
    ++calls;
    poller_.cancel(later);
    poller_.after(kMoment, [&] { ++calls; });
  });
  run_for(4 * kMoment);
  EXPECT_EQ(calls, 2);
}

TEST_F(PollerTest, DelaysBelowZeroAndBeyondTime) {
  int calls = 0;
  poller_.after(INT64_MAX, [&] { calls += 100; });
  poller_.after(-1, [&] { ++calls; });
  poller_.run_once();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace caisson::shim
