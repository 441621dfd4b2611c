#include "store/state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "store/schema.h"

namespace caisson::store {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "caisson-state-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
  }
  void TearDown() override { fs::remove_all(home_); }
  State open() {
    auto state = State::open(home_);
    if (!state) throw std::runtime_error(state.error().message);
    return std::move(*state);
  }
  static BoxRow row(std::string id, std::string name = {}, std::int64_t created_ns = 1) {
    BoxRow r;
    r.id = std::move(id);
    r.name = std::move(name);
    r.state = "configured";
    r.spec_json = R"({"source":"host:"})";
    r.created_ns = created_ns;
    r.boot_id = "boot-1";
    return r;
  }
  std::string path() const { return home_ + "/db/state.db"; }

  std::string home_;
};

std::vector<std::string> ids(const std::vector<BoxRow>& rows) {
  std::vector<std::string> list;
  for (const BoxRow& r : rows) list.push_back(r.id);
  return list;
}

TEST_F(StateTest, RowsComeBackWhole) {
  BoxRow full = row("01a", "web");
  full.started_ns = 2;
  full.finished_ns = 3;
  full.error_reason = "no \"such\" program\nat all, ü";
  full.exit_json = "{}";
  full.shim_pid = 100;
  full.init_pid = 101;
  full.stages_json = "[1]";
  full.warnings_json = "[2]";
  full.auto_remove = true;
  State state = open();
  ASSERT_TRUE(state.insert(full));
  ASSERT_TRUE(state.insert(row("01b")));
  EXPECT_EQ(**state.find("01a"), full);
  EXPECT_EQ(**open().find("01b"), row("01b")) << "read by another connection";
  EXPECT_FALSE((*state.find("01c")).has_value());
}

TEST_F(StateTest, NamesAreUniqueAndNoNameIsNoName) {
  State state = open();
  ASSERT_TRUE(state.insert(row("01a", "web")));
  ASSERT_TRUE(state.insert(row("01b")));
  ASSERT_TRUE(state.insert(row("01c")));
  auto clash = state.insert(row("01d", "web"));
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().code, Code::kAlreadyExists);
  EXPECT_EQ(clash.error().reason, "name_taken");
  EXPECT_EQ(clash.error().message, "create box 'web': the name is taken by box '01a'");
  EXPECT_EQ(state.insert(row("01a")).error().reason, "box_exists");
  EXPECT_TRUE(*state.erase("01a"));
  EXPECT_FALSE(*state.erase("01a"));
  EXPECT_TRUE(state.insert(row("01d", "web")));
}

TEST_F(StateTest, ResolvesIdNamePrefixInThisOrder) {
  State state = open();
  for (const char* id : {"01aa", "01ab", "01ac", "01ad", "01b"}) ASSERT_TRUE(state.insert(row(id)));
  ASSERT_TRUE(state.insert(row("02", "01")));
  EXPECT_EQ(state.resolve("01ab")->id, "01ab");
  EXPECT_EQ(state.resolve("01")->id, "02") << "a name goes before a prefix";
  EXPECT_EQ(state.resolve("01b")->id, "01b");
  EXPECT_EQ(state.resolve("0").error().reason, "box_ambiguous");
}

TEST_F(StateTest, AmbiguousAndUnknown) {
  State state = open();
  for (const char* id : {"01aa", "01ab", "01ac", "01ad"}) ASSERT_TRUE(state.insert(row(id)));
  auto several = state.resolve("01a");
  ASSERT_FALSE(several);
  EXPECT_EQ(several.error().reason, "box_ambiguous");
  EXPECT_EQ(several.error().code, Code::kInvalidArgument);
  EXPECT_EQ(several.error().message, "find box '01a': several ids begin so: 01aa, 01ab, 01ac, …");
  for (const char* unknown : {"", "1", "01aaa", "%", "_"}) {
    auto none = state.resolve(unknown);
    ASSERT_FALSE(none) << unknown;
    EXPECT_EQ(none.error().reason, "box_not_found");
    EXPECT_EQ(none.error().code, Code::kNotFound);
  }
}

TEST_F(StateTest, ListsNewestFirst) {
  State state = open();
  ASSERT_TRUE(state.insert(row("01a", "", 10)));
  ASSERT_TRUE(state.insert(row("01b", "", 30)));
  ASSERT_TRUE(state.insert(row("01c", "", 20)));
  EXPECT_THAT(ids(*state.list()), ElementsAre("01b", "01c", "01a"));
  ASSERT_TRUE(*state.transition("01c", {"configured"}, {.state = "running"}));
  EXPECT_THAT(ids(*state.live()), ElementsAre("01c"));
}

TEST_F(StateTest, TransitionIsCompareAndSet) {
  State state = open();
  ASSERT_TRUE(state.insert(row("01a")));
  EXPECT_FALSE(*state.transition("01a", {"running", "paused"}, {.state = "stopped"}));
  EXPECT_FALSE(*state.transition("01x", {"configured"}, {.state = "starting"}));
  EXPECT_FALSE(*state.transition("01a", {}, {.state = "starting"}));
  EXPECT_TRUE(*state.transition("01a", {"failed", "configured"},
                                {.state = "starting", .shim_pid = 7, .boot_id = "boot-2"}));
  EXPECT_TRUE(*state.transition("01a", {"starting"}, {.state = "running", .started_ns = 5}));
  BoxRow now = **state.find("01a");
  EXPECT_EQ(now.state, "running");
  EXPECT_EQ(now.shim_pid, 7) << "absent means unchanged";
  EXPECT_EQ(now.started_ns, 5);
  EXPECT_EQ(now.boot_id, "boot-2");
  EXPECT_EQ(now.spec_json, row("").spec_json);
}

TEST_F(StateTest, ASecondRunClearsTheFirst) {
  State state = open();
  BoxRow first = row("01a");
  first.started_ns = 1;
  first.finished_ns = 2;
  first.shim_pid = first.init_pid = 3;
  first.error_reason = "x";
  first.exit_json = "{}";
  ASSERT_TRUE(state.insert(first));
  ASSERT_TRUE(*state.transition("01a", {"configured"},
                                {.state = "starting", .clear_run = true, .shim_pid = 9}));
  BoxRow expected = row("01a");
  expected.state = "starting";
  expected.shim_pid = 9;
  EXPECT_EQ(**state.find("01a"), expected);
}

TEST_F(StateTest, Meta) {
  State state = open();
  EXPECT_FALSE((*state.meta("k")).has_value());
  ASSERT_TRUE(state.set_meta("k", "1"));
  ASSERT_TRUE(state.set_meta("k", "2"));
  EXPECT_EQ(*state.meta("k"), "2");
}

TEST_F(StateTest, ModesHoldUnderAnyUmask) {
  for (mode_t mask : {0000u, 0277u}) {
    const mode_t before = ::umask(mask);
    home_ += "/deeper";
    auto opened = State::open(home_);
    const bool written = opened && opened->set_meta("k", "v").has_value();
    ::umask(before);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_TRUE(written);
    struct stat info{};
    ASSERT_EQ(::stat((home_ + "/db").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777u, 0700u);
    for (const char* suffix : {"", "-wal", "-shm"}) {
      ASSERT_EQ(::stat((path() + suffix).c_str(), &info), 0) << suffix;
      EXPECT_EQ(info.st_mode & 07777u, 0600u) << suffix;
    }
  }
  home_ = fs::path(home_).parent_path().parent_path();
}

TEST_F(StateTest, ANewerFormatIsLeftAlone) {
  {
    open();
  }
  {
    auto database = Database::open(path());
    ASSERT_TRUE(database);
    ASSERT_TRUE(database->execute("PRAGMA user_version=1000"));
  }
  auto state = State::open(home_);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().reason, "state_newer");
  EXPECT_EQ(state.error().code, Code::kFailedPrecondition);
}

TEST_F(StateTest, AnInterruptedCreationIsFinished) {
  ASSERT_TRUE(fs::create_directories(home_ + "/db"));
  std::ofstream(path()).close();  // the file was made, its maker was killed
  EXPECT_TRUE(open().insert(row("01a")));
}

TEST_F(StateTest, CorruptIsSaidWithAWayOut) {
  {
    EXPECT_TRUE(open().insert(row("01a")));
  }
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(path() + suffix);
  std::ofstream(path(), std::ios::trunc) << std::string(8192, 'x');
  auto state = State::open(home_);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().reason, "state_corrupt");
  EXPECT_EQ(state.error().code, Code::kDataLoss);
  EXPECT_THAT(state.error().hint, HasSubstr("mv '" + home_ + "/db'"));
  EXPECT_EQ(fs::file_size(path()), 8192u) << "nothing is touched";
}

TEST_F(StateTest, UnwritableHome) {
  ASSERT_EQ(::chmod(home_.c_str(), 0555), 0);
  // In a child, because root may write anywhere: it becomes somebody else first.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    auto state = State::open(home_);
    ::_exit(!state && state.error().reason == "state_read_only" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(::chmod(home_.c_str(), 0755), 0);
}

TEST_F(StateTest, HomeIsAFile) {
  home_ += "/file";
  std::ofstream(home_).close();
  auto state = State::open(home_);
  ASSERT_FALSE(state);
  EXPECT_FALSE(state.error().reason.empty());
  home_ = fs::path(home_).parent_path();
}

TEST_F(StateTest, TidyShortensALongLogOnly) {
  State state = open();
  ASSERT_TRUE(state.tidy());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(state.insert(row("01a" + std::to_string(i))));
  const auto before = fs::file_size(path() + "-wal");
  ASSERT_TRUE(state.tidy());
  EXPECT_LT(fs::file_size(path() + "-wal"), before / 4);
  EXPECT_EQ(open().list()->size(), 100u);
}

TEST_F(StateTest, ThreadsShareOneState) {
  State state = open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        EXPECT_TRUE(state.insert(row("t" + std::to_string(t) + "-" + std::to_string(i))));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state.list()->size(), 200u);
}

}  // namespace
}  // namespace caisson::store
