// Many processes on one state database.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "store/sqlite.h"
#include "store/state.h"

namespace caisson::store {
namespace {

namespace fs = std::filesystem;

class StateProcessesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "caisson-state-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
  }
  void TearDown() override { fs::remove_all(home_); }

  static BoxRow row(int process, int number) {
    BoxRow r;
    r.id = "p" + std::to_string(process) + "-" + std::to_string(number);
    r.state = "configured";
    r.spec_json = std::string(1000, 'x');
    return r;
  }
  void expect_sound() {
    auto database = Database::open(home_ + "/db/state.db");
    ASSERT_TRUE(database) << database.error().message;
    auto check = database->prepare("PRAGMA integrity_check");
    ASSERT_TRUE(check);
    ASSERT_TRUE(check->step());
    EXPECT_EQ(check->text(0), "ok");
  }

  std::string home_;
};

TEST_F(StateProcessesTest, TwentyCreateAndFillItAtOnce) {
  constexpr int kProcesses = 20, kRows = 50;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto state = State::open(home_);
      if (!state) {
        ::dprintf(2, "%s\n", state.error().message.c_str());
        ::_exit(1);
      }
      for (int i = 0; i < kRows; ++i) {
        auto done = state->insert(row(p, i));
        if (!done) ::dprintf(2, "%s\n", done.error().message.c_str());
        if (!done || !state->transition(row(p, i).id, {"configured"}, {.state = "running"}).value())
          ::_exit(2);
      }
      ::_exit(state->tidy() ? 0 : 3);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  auto state = State::open(home_);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->live()->size(), 1u * kProcesses * kRows);
  expect_sound();
}

TEST_F(StateProcessesTest, OneOfManyWinsATransition) {
  ASSERT_TRUE(State::open(home_)->insert(row(0, 0)));
  std::vector<pid_t> children;
  for (int p = 0; p < 8; ++p) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto won = State::open(home_)->transition("p0-0", {"configured"}, {.state = "starting"});
      ::_exit(won && *won ? 1 : 0);
    }
    children.push_back(child);
  }
  int winners = 0;
  for (pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    winners += WEXITSTATUS(status);
  }
  EXPECT_EQ(winners, 1);
}

TEST_F(StateProcessesTest, AKilledWriterLeavesWholeRows) {
  for (int round = 0; round < 15; ++round) {
    const Pipe written = make_pipe().value();
    const pid_t child = ::fork();
    if (child == 0) {
      auto state = State::open(home_);
      for (int i = 0; state; ++i) {
        static_cast<void>(state->insert(row(round, i)));
        if (i == 0) static_cast<void>(write_all(written.write.get(), "x", "pipe"));
      }
      ::_exit(1);
    }
    // Some are killed while they open the state, some while they write.
    char byte = 0;
    if (round % 2 == 1) {
      ASSERT_EQ(::read(written.read.get(), &byte, 1), 1);
    }
    ::usleep(static_cast<useconds_t>(1000 * (1 + round * 3)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed by itself";
  }
  auto state = State::open(home_);
  ASSERT_TRUE(state) << state.error().message;
  auto rows = state->list();
  ASSERT_TRUE(rows);
  EXPECT_FALSE(rows->empty());
  for (const BoxRow& r : *rows) EXPECT_EQ(r.spec_json.size(), 1000u) << r.id;
  ASSERT_TRUE(state->insert(row(99, 0)));
  expect_sound();
}

}  // namespace
}  // namespace caisson::store
