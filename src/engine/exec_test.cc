#include "caisson/exec.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include "engine/exec_impl.h"
#include "sys/socket.h"

namespace caisson {
namespace {

using namespace std::chrono_literals;

ExitInfo exited(int code) { return {.reason = ExitReason::kExited, .exit_code = code}; }

/// What a shim and the process in its box would hold; driven by the test, or by a thread of it.
class FakeShim {
 public:
  Fd socket;
  Fd in;        ///< the process reads here
  Fd out, err;  ///< and writes here
  wire::FrameReader reader;

  void end(const ExitInfo& exit) {
    send(wire::encode({wire::FrameType::kEvent, 0, backend::encode_exit(exit)}));
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = sys::send_with_fds(socket.get(), bytes, {});
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// The next frame from the client; waits for it.
  wire::Frame next() {
    for (;;) {
      auto frame = reader.next();
      if (frame && *frame) return std::move(**frame);
      char buffer[65536];
      const sys::Received got = sys::receive_with_fds(socket.get(), buffer, sizeof buffer);
      if (got.bytes <= 0) return {};
      reader.feed({buffer, static_cast<std::size_t>(got.bytes)});
    }
  }
  void close_streams() {
    in.reset();
    out.reset();
    err.reset();
  }
};

class ExecTest : public testing::Test {
 protected:
  /// An exec with pipes of its own.
  Exec piped(OutputLimit limit = {}) {
    Pipe in = make_pipe().value(), out = make_pipe().value(), err = make_pipe().value();
    Exec::Impl::Parts parts{.channel = connect(),
                            .in = std::move(in.write),
                            .out = std::move(out.read),
                            .err = std::move(err.read),
                            .limit = limit};
    shim_.in = std::move(in.read);
    shim_.out = std::move(out.write);
    shim_.err = std::move(err.write);
    return make(std::move(parts));
  }
  /// A main process, whose output the shim carries.
  Exec carried(OutputLimit limit = {}) {
    return make({.channel = connect(), .carried = true, .limit = limit});
  }
  engine::Channel connect() {
    sys::SocketPair pair = sys::make_socket_pair(SOCK_STREAM).value();
    shim_.socket = std::move(pair.theirs);
    return engine::Channel(std::move(pair.ours));
  }
  Exec make(Exec::Impl::Parts parts) {
    parts.on_exit = [this](const ExitInfo&) { ++told_; };
    parts.on_lost = []() -> Result<ExitInfo> { return ExitInfo{}; };
    return Exec(Exec::Impl::create(std::move(parts)).value());
  }

  FakeShim shim_;
  int told_ = 0;
};

TEST_F(ExecTest, CommunicateWithAnEcho) {
  Exec exec = piped();
  std::jthread cat([this] {
    char buffer[4096];
    ssize_t n = 0;
    while ((n = ::read(shim_.in.get(), buffer, sizeof buffer)) > 0)
      (void)write_all(shim_.out.get(), {buffer, static_cast<std::size_t>(n)}, "out");
    shim_.close_streams();
    shim_.end(exited(0));
  });
  std::string input(4u << 20, '\0');
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 7);
  const Collected all = exec.communicate(input, in(60s)).value();
  EXPECT_TRUE(all.out == input);
  EXPECT_EQ(all.err, "");
  EXPECT_EQ(all.exit.exit_code, 0);
  EXPECT_EQ(all.exit.output_bytes, input.size());
  EXPECT_EQ(told_, 1);
}

TEST_F(ExecTest, ACommandThatNeverReadsDoesNotBlockTheCaller) {
  Exec exec = piped();
  std::jthread process([this] {
    (void)write_all(shim_.out.get(), "done", "out");
    (void)write_all(shim_.err.get(), "warning", "err");
    shim_.close_streams();
    shim_.end(exited(3));
  });
  const Collected all = exec.communicate(std::string(8u << 20, 'x'), in(60s)).value();
  EXPECT_EQ(all.out, "done");
  EXPECT_EQ(all.err, "warning");
  EXPECT_EQ(all.exit.exit_code, 3);
}

TEST_F(ExecTest, OutputOfAnEndedProcessIsNotLost) {
  Exec exec = piped();
  ASSERT_TRUE(write_all(shim_.out.get(), std::string(60'000, 'o'), "out"));
  ASSERT_TRUE(write_all(shim_.err.get(), "e", "err"));
  shim_.end(exited(0));
  EXPECT_EQ(exec.wait(in(10s)).value().exit_code, 0);
  const Collected all = exec.communicate({}, in(10s)).value();
  EXPECT_EQ(all.out.size(), 60'000u) << "although a daemon still holds the pipes";
  EXPECT_EQ(all.err, "e");
}

TEST_F(ExecTest, CollectingStopsAtTheLimitAndCounts) {
  Exec exec = piped({10, OutputAction::kStopCollecting});
  ASSERT_TRUE(write_all(shim_.out.get(), "12345678", "out"));
  ASSERT_TRUE(write_all(shim_.err.get(), "abcdefgh", "err"));
  shim_.close_streams();
  shim_.end(exited(0));
  const Collected all = exec.communicate({}, in(10s)).value();
  EXPECT_EQ(all.out.size() + all.err.size(), 10u);
  EXPECT_EQ(all.exit.output_bytes, 16u);
  EXPECT_EQ(all.exit.output_dropped_bytes, 6u);
}

TEST_F(ExecTest, TheLimitsActionCanBeToKill) {
  Exec exec = piped({10, OutputAction::kKill});
  std::jthread process([this] {
    (void)write_all(shim_.out.get(), std::string(20, 'x'), "out");
    const backend::Request request = backend::decode_request(shim_.next().payload).value();
    EXPECT_EQ(std::get<backend::KillRequest>(request).reason, ExitReason::kOutputLimit);
    shim_.close_streams();
    shim_.end({.reason = ExitReason::kOutputLimit, .signal = 9});
  });
  const Collected all = exec.communicate({}, in(60s)).value();
  EXPECT_EQ(all.exit.reason, ExitReason::kOutputLimit);
  EXPECT_EQ(all.out.size(), 10u);
}

TEST_F(ExecTest, AGoneShimIsALostProcess) {
  Exec exec = piped();
  ASSERT_TRUE(write_all(shim_.out.get(), "partial", "out"));
  shim_.close_streams();
  shim_.socket.reset();
  const Collected all = exec.communicate({}, in(10s)).value();
  EXPECT_EQ(all.out, "partial");
  EXPECT_EQ(all.exit.reason, ExitReason::kLost);
}

TEST_F(ExecTest, DeadlinesLoseNothing) {
  Exec exec = piped();
  EXPECT_EQ(exec.next_output(in(1ms)).error().reason, "deadline_passed");
  EXPECT_EQ(exec.wait(in(1ms)).error().code, Code::kDeadlineExceeded);
  ASSERT_TRUE(write_all(shim_.out.get(), "later", "out"));
  EXPECT_EQ(exec.next_output(in(10s)).value()->data, "later");
  EXPECT_EQ(exec.communicate({}, in(1ms)).error().reason, "deadline_passed");
  ASSERT_TRUE(write_all(shim_.err.get(), "last", "err"));
  shim_.close_streams();
  shim_.end(exited(0));
  EXPECT_EQ(exec.communicate({}, in(10s)).value().err, "last");
}

TEST_F(ExecTest, StdinBlocksOnlyToItsDeadlineAndSaysWhenNobodyReads) {
  Exec exec = piped();
  const std::string block(1u << 20, 'x');
  std::size_t taken = 0;
  while (const std::size_t n = exec.write_stdin(block, in(1ms)).value()) taken += n;
  EXPECT_GE(taken, 4096u);
  shim_.in.reset();
  EXPECT_EQ(exec.write_stdin("x").error().reason, "stdin_closed");
  ASSERT_TRUE(exec.close_stdin());
  ASSERT_TRUE(exec.close_stdin());
  EXPECT_EQ(exec.stdin_fd(), -1);
  EXPECT_EQ(exec.write_stdin("x").error().code, Code::kFailedPrecondition);
}

TEST_F(ExecTest, CarriedOutputIsPaidForWithCredit) {
  Exec exec = carried();
  constexpr std::size_t kFrames = 100;
  std::jthread process([this] {
    std::uint64_t credit = wire::kInitialCredit, offset = 0;
    const std::string block(wire::kMaxData, 'x');
    for (std::size_t i = 0; i < kFrames; ++i) {
      while (credit < block.size()) credit += wire::decode_credit(shim_.next()).value();
      shim_.send(wire::encode_data(i % 2 == 0 ? 1 : 2, offset, block));
      credit -= block.size();
      offset += block.size();
    }
    shim_.end(exited(0));
  });
  const Collected all = exec.communicate({}, in(60s)).value();
  EXPECT_EQ(all.out.size(), kFrames / 2 * wire::kMaxData);
  EXPECT_EQ(all.err.size(), kFrames / 2 * wire::kMaxData);
}

TEST_F(ExecTest, PollableWhenThereIsSomething) {
  Exec exec = carried();
  const auto readable = [&](int timeout_ms) {
    pollfd polled{exec.fd(), POLLIN, 0};
    return ::poll(&polled, 1, timeout_ms) == 1;
  };
  EXPECT_FALSE(readable(0));
  shim_.send(wire::encode_data(2, 0, "note"));
  EXPECT_TRUE(readable(10'000));
  const Output output = *exec.next_output(in(10s)).value();
  EXPECT_EQ(output.stream, Stream::kStderr);
  EXPECT_EQ(output.data, "note");
  shim_.end(exited(0));
  EXPECT_FALSE(exec.next_output(in(10s)).value());
  EXPECT_TRUE(readable(0)) << "and stays so after the end";
  EXPECT_FALSE(exec.next_output(in(10s)).value());
  EXPECT_EQ(told_, 1);
}

TEST_F(ExecTest, SignalsAreRequestsAndHarmlessAfterTheEnd) {
  Exec exec = piped();
  ASSERT_TRUE(exec.signal(15));
  const backend::Request request = backend::decode_request(shim_.next().payload).value();
  EXPECT_EQ(std::get<backend::SignalRequest>(request).number, 15);
  shim_.socket.reset();
  EXPECT_TRUE(exec.signal(15));
  EXPECT_TRUE(exec.kill());
  EXPECT_EQ(exec.resize(24, 80).error().reason, "no_terminal");
}

TEST_F(ExecTest, AShimThatTalksNonsenseIsAnError) {
  Exec exec = carried();
  shim_.send(std::string(20, '\xff'));
  EXPECT_EQ(exec.next_output(in(10s)).error().reason, "protocol_error");
}

}  // namespace
}  // namespace caisson
