#include "shim/main_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/unit_test_support.h"

namespace caisson::shim {
namespace {

class MainOutputTest : public testing::Test {
 protected:
  void SetUp() override {
    output_.emplace(poller_, &log_,
                    [this](std::uint32_t stream, std::uint64_t offset, std::string_view bytes) {
                      EXPECT_EQ(offset, seen_[stream - 1].size()) << "offsets have no gap";
                      seen_[stream - 1] += bytes;
                      if (on_data_) on_data_(bytes);
                    });
  }
  void open() {
    Pipe out = make_pipe().value(), err = make_pipe().value();
    out_ = std::move(out.write);
    err_ = std::move(err.write);
    output_->open(std::move(out.read), std::move(err.read));
  }
  static void put(const Fd& fd, std::string_view text) {
    ASSERT_TRUE(write_all(fd.get(), text, "pipe"));
  }
  void run_for_a_moment() {
    bool over = false;
    poller_.after(5'000'000, [&] { over = true; });
    while (!over) poller_.run_once();
  }

  TestDirectory test_;
  Poller poller_ = Poller::create().value();
  Log log_{test_.path(), OutputLimit{1u << 20}};
  std::optional<MainOutput> output_;
  std::function<void(std::string_view)> on_data_;
  std::string seen_[2];
  Fd out_, err_;
};

TEST_F(MainOutputTest, BothStreamsReachTheSinkAndTheLog) {
  open();
  put(out_, "to stdout");
  put(err_, "to stderr");
  run_for_a_moment();
  put(out_, ", more");
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "to stdout, more");
  EXPECT_EQ(seen_[1], "to stderr");
  EXPECT_EQ(output_->total(), 24u);
  EXPECT_EQ(log_.written(), 24u);
}

TEST_F(MainOutputTest, WithoutRoomNothingIsRead) {
  output_->set_room(0);
  open();
  put(out_, "waiting");
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "");
  output_->set_room(4);
  on_data_ = [this](std::string_view bytes) {
    output_->set_room(4 - std::min<std::size_t>(4, bytes.size()));
  };
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "wait") << "not a byte above the room";
  on_data_ = nullptr;
  output_->set_room(UINT64_MAX);
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "waiting");
}

TEST_F(MainOutputTest, AWriterBlocksWhileThereIsNoRoom) {
  output_->set_room(0);
  open();
  ASSERT_TRUE(set_nonblocking(out_.get()));
  const std::string block(65536, 'x');
  while (::write(out_.get(), block.data(), block.size()) > 0) {
  }
  run_for_a_moment();
  EXPECT_EQ(output_->total(), 0u) << "and its output costs us no memory";
}

TEST_F(MainOutputTest, EndsDoNotSpin) {
  open();
  put(out_, "last");
  out_.reset();
  err_.reset();
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "last");
  EXPECT_EQ(output_->out_fd(), -1) << "closed at its end";
}

TEST_F(MainOutputTest, DrainTakesWhatIsLeftWhateverTheRoom) {
  output_->set_room(0);
  open();
  put(out_, std::string(50'000, 'o'));
  put(err_, "e");
  out_.reset();  // stdout has ended; somebody still holds stderr
  output_->drain();
  EXPECT_EQ(seen_[0].size(), 50'000u);
  EXPECT_EQ(seen_[1], "e");
  EXPECT_EQ(output_->total(), 50'001u);
}

TEST_F(MainOutputTest, DrainEndsAlsoWhenSomebodyGoesOnWriting) {
  open();
  on_data_ = [this](std::string_view bytes) { put(out_, std::string(bytes)); };
  put(out_, std::string(60'000, 'x'));
  output_->drain();
  EXPECT_LT(output_->total(), 64u << 20);
}

TEST_F(MainOutputTest, ATerminalHasOneStream) {
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master);
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  Fd slave = open_fd(::ptsname(master.get()), O_RDWR | O_NOCTTY).value();
  output_->open(std::move(master), Fd());
  put(slave, "hello");
  run_for_a_moment();
  EXPECT_EQ(seen_[0], "hello");
  slave.reset();  // the master answers EIO now
  output_->drain();
  EXPECT_EQ(output_->out_fd(), -1);
  output_->drain();
}

}  // namespace
}  // namespace caisson::shim
