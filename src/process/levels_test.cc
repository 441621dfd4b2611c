// Every level of Landlock that this kernel has, by keeping the rules to what a kernel of that level
// knows: what is claimed holds on each.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "process/apply.h"
#include "process/process.h"

namespace caisson::process {
namespace {

class Levels : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const int most = gather_facts().landlock_abi;
    if (most < GetParam()) GTEST_SKIP() << "this kernel has Landlock ABI " << most;
    char name[] = "/tmp/caisson-levels-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    for (const char* part : {"/r", "/w", "/box", "/box/workspace"})
      ASSERT_EQ(::mkdir((folder_ + part).c_str(), 0700), 0);
    for (const char* file : {"/secret", "/r/f", "/w/f"}) std::ofstream(folder_ + file) << "content";
    spec_.source = "host:";
    spec_.isolation = Isolation::kProcess;
    spec_.protect_defaults = false;
    spec_.access.read = {folder_ + "/r"};
    spec_.access.write = {folder_ + "/w"};
  }
  void TearDown() override {
    if (!folder_.empty()) {
      ASSERT_EQ(::system(("rm -rf " + folder_).c_str()), 0);
    }
  }

  /// Whether `attempt` succeeds in a process that is confined by a kernel of this level.
  bool confined(const std::function<bool()>& attempt) {
    Facts facts = gather_facts();
    facts.landlock_abi = GetParam();
    const Plan plan = make_plan(spec_, facts, folder_ + "/box").value();
    const std::string filter = init::seccomp_program(spec_, {}, "", plan.seccomp).value();
    const pid_t child = ::fork();
    if (child == 0) {
      auto rules = sys::Landlock::create(plan.options);
      bool made = rules.has_value();
      for (const AllowedPath& allowed : plan.paths) {
        Result<Fd> fd = open_fd(allowed.path, O_PATH);
        if (made && fd) made = rules->allow(fd->get(), allowed.access, allowed.path).has_value();
      }
      made = made && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && rules->restrict_self() &&
             sys::install_seccomp(filter.data(), filter.size() / 8) == 0;
      ::_exit(!made ? 3 : attempt() ? 1 : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 3);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
  }
  bool opens(const std::string& path, int flags) {
    return confined([&] { return ::open((folder_ + path).c_str(), flags, 0600) >= 0; });
  }
  std::string content(const std::string& path) { return read_file(folder_ + path).value_or(""); }

  std::string folder_;
  BoxSpec spec_;
};

TEST_P(Levels, FilesFollowTheLists) {
  EXPECT_TRUE(opens("/r/f", O_RDONLY));
  EXPECT_TRUE(opens("/w/f", O_RDWR));
  EXPECT_TRUE(opens("/w/new", O_WRONLY | O_CREAT));
  EXPECT_TRUE(opens("/box/workspace/new", O_WRONLY | O_CREAT));
  EXPECT_FALSE(opens("/secret", O_RDONLY));
  EXPECT_FALSE(opens("/secret", O_WRONLY));
  EXPECT_FALSE(opens("/r/f", O_RDWR));
  EXPECT_FALSE(opens("/r/new", O_WRONLY | O_CREAT));
  EXPECT_FALSE(confined([&] { return ::unlink((folder_ + "/secret").c_str()) == 0; }));
}

TEST_P(Levels, NothingIsTruncatedWithoutARight) {
  for (const char* path : {"/secret", "/r/f"}) {
    EXPECT_FALSE(confined([&] { return ::truncate((folder_ + path).c_str(), 0) == 0; })) << path;
    opens(path, O_RDONLY | O_TRUNC);
    opens(path, O_ACCMODE | O_TRUNC);
    opens(path, O_WRONLY | O_TRUNC);
    EXPECT_EQ(content(path), "content") << path;
  }
  EXPECT_TRUE(opens("/w/f", O_WRONLY | O_TRUNC));
  EXPECT_EQ(content("/w/f"), "");
}

TEST_P(Levels, NothingIsMovedOut) {
  EXPECT_FALSE(confined(
      [&] { return ::rename((folder_ + "/secret").c_str(), (folder_ + "/w/s").c_str()) == 0; }));
  EXPECT_FALSE(confined(
      [&] { return ::link((folder_ + "/secret").c_str(), (folder_ + "/w/s").c_str()) == 0; }));
}

TEST_P(Levels, ThereIsNoNetwork) {
  for (int type : {SOCK_STREAM, SOCK_DGRAM})
    for (int family : {AF_INET, AF_INET6, AF_UNIX})
      EXPECT_FALSE(confined([&] { return ::socket(family, type, 0) >= 0; })) << family << type;
}

TEST_P(Levels, SignalsStayInsideFromTheSixth) {
  const pid_t self = ::getpid();
  const bool reached = confined([&] { return ::kill(self, 0) == 0; });
  if (GetParam() >= 6) {
    EXPECT_FALSE(reached);
  }
}

INSTANTIATE_TEST_SUITE_P(Landlock, Levels, testing::Range(1, 8));

}  // namespace
}  // namespace caisson::process
