#include "sys/userns.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/unit_test_support.h"
#include "sys/socket.h"

namespace caisson::sys {
namespace {

using Ranges = std::vector<IdRange>;

TEST(SubordinateIds, ByNameAndByNumber) {
  constexpr std::string_view kFile =
      "root:1:2\nuser:100000:65536\nother:165536:65536\n1000:300000:10\nuser:400000:5";
  EXPECT_EQ(subordinate_ids(kFile, "user", 1000),
            (Ranges{{0, 100000, 65536}, {0, 300000, 10}, {0, 400000, 5}}));
  EXPECT_EQ(subordinate_ids(kFile, "use", 1), Ranges{});
  EXPECT_EQ(subordinate_ids(kFile, "", 1000), (Ranges{{0, 300000, 10}}));
}

TEST(SubordinateIds, WrongLinesDoNotCount) {
  for (const char* line :
       {"", "\n\n", "user", "user:", "user::", "user:1", "user:1:", "user:x:5", "user:5:x",
        "user:-1:5", "user:1:0", "user:4294967296:1", "user:1:99999999999", ":1:2", " user:1:2"})
    EXPECT_EQ(subordinate_ids(line, "user", 1000), Ranges{}) << line;
  EXPECT_EQ(subordinate_ids(":1:2\n", "", 1000), Ranges{});
}

TEST(SameIds, AreSplitWhereTheParentsLinesAre) {
  EXPECT_EQ(same_ids({}, 1), (Ranges{{0, 0, 1}}));
  EXPECT_EQ(same_ids({{0, 100000, 65536}}, 65536), (Ranges{{0, 0, 1}, {1, 1, 65535}}));
  EXPECT_EQ(same_ids({{0, 5, 10}, {0, 50, 10}}, 21), (Ranges{{0, 0, 1}, {1, 1, 10}, {11, 11, 10}}));
  EXPECT_EQ(same_ids({{0, 5, 10}, {0, 50, 10}}, 11), (Ranges{{0, 0, 1}, {1, 1, 10}}));
  EXPECT_EQ(same_ids({{0, 5, 10}, {0, 50, 10}}, 15), (Ranges{{0, 0, 1}, {1, 1, 10}, {11, 11, 4}}));
}

TEST(UserNamespace, AnUnfinishedOneLeavesNoHelper) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  {
    NewNamespaces::begin().value();
  }
  EXPECT_LT(::waitpid(-1, nullptr, __WALL), 0);
  EXPECT_EQ(errno, ECHILD);
}

TEST(IdRanges, TwoClaimsDifferAndAreFreedOnClose) {
  const TestDirectory test;
  const std::string file = test / "ranges";
  ClaimedRange first = claim_id_range(file, 7).value();
  const ClaimedRange second = claim_id_range(file, 7).value();
  EXPECT_EQ(first.first, 0x70000000u + 7 * kIdsPerBox);
  EXPECT_EQ(second.first, 0x70000000u + 8 * kIdsPerBox);
  first.lock.reset();
  EXPECT_EQ(claim_id_range(file, 7).value().first, first.first);
}

TEST(IdRanges, TheLastOneIsFollowedByTheFirst) {
  const TestDirectory test;
  const ClaimedRange last = claim_id_range(test / "ranges", 4095).value();
  const ClaimedRange next = claim_id_range(test / "ranges", 4095).value();
  EXPECT_EQ(last.first, 0x70000000u + 4095u * kIdsPerBox);
  EXPECT_EQ(next.first, 0x70000000u);
  EXPECT_EQ(claim_id_range(test / "ranges", UINT32_MAX).value().first, 0x70000000u + kIdsPerBox);
}

TEST(IdRanges, AClaimHoldsAcrossProcessesUntilItsHolderDies) {
  const TestDirectory test;
  const std::string file = test / "ranges";
  Pipe ready = make_pipe().value(), leave = make_pipe().value();
  const pid_t holder = ::fork();
  if (holder == 0) {
    leave.write.reset();
    const auto claim = claim_id_range(file, 0);
    char byte = claim && claim->first == 0x70000000u ? 'y' : 'n';
    [[maybe_unused]] ssize_t n = ::write(ready.write.get(), &byte, 1);
    n = ::read(leave.read.get(), &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(claim_id_range(file, 0).value().first, 0x70000000u + kIdsPerBox);
  leave.write.reset();
  ::waitpid(holder, nullptr, 0);
  EXPECT_EQ(claim_id_range(file, 0).value().first, 0x70000000u);
}

TEST(IdRanges, ALinkInTheFilesPlaceIsRefused) {
  const TestDirectory test;
  std::filesystem::create_symlink("/etc/passwd", test / "ranges");
  EXPECT_EQ(claim_id_range(test / "ranges", 0).error().sys_errno, ELOOP);
}

TEST(UserNamespace, HasTheMapThatWasAskedFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to map a range of ids";
  const IdMap map{{{0, 1'900'000'000, 65536}}, {{0, 1'900'000'000, 65536}}};
  NewNamespaces making = NewNamespaces::begin().value();
  ASSERT_TRUE(making.set_owner(1'900'000'000, 1'900'000'000));
  const Namespaces made = making.finish(map).value();
  const Fd& userns = made.user;
  EXPECT_EQ(run_in_child([&] {
              ASSERT_EQ(::setns(userns.get(), CLONE_NEWUSER), 0);
              ASSERT_EQ(::syscall(SYS_setresuid, 5, 5, 5), 0);
              const std::string text = read_file("/proc/self/uid_map").value();
              EXPECT_NE(text.find("1900000000      65536"), std::string::npos) << text;
              EXPECT_EQ(::getuid(), 5u);
            }),
            0);
}

TEST(UserNamespace, EnteredWithOneId) {
  EXPECT_EQ(run_in_child([] {
              const auto entered = enter_outer_namespace({}, {});
              ASSERT_TRUE(entered) << entered.error().message << ' ' << entered.error().hint;
              EXPECT_EQ(::getuid(), 0u);
              EXPECT_EQ(::getgid(), 0u);
            }),
            0);
}

TEST(UsernsHint, EachErrnoHasItsOwn) {
  using ::testing::HasSubstr;
  const UsernsSwitches open, debian{true, false}, ubuntu{false, true};
  EXPECT_THAT(userns_hint(EPERM, debian), HasSubstr("kernel.unprivileged_userns_clone=1"));
  for (int err : {EPERM, EACCES})
    EXPECT_THAT(userns_hint(err, ubuntu), HasSubstr("apparmor_restrict_unprivileged_userns=0"));
  EXPECT_THAT(userns_hint(EPERM, open), HasSubstr("seccomp"));
  EXPECT_THAT(userns_hint(EACCES, open), HasSubstr("security module"));
  // Switches that are set have nothing to do with other errors.
  for (const UsernsSwitches& switches : {open, debian, ubuntu}) {
    EXPECT_THAT(userns_hint(ENOSPC, switches), HasSubstr("user.max_user_namespaces"));
    EXPECT_THAT(userns_hint(ENOSPC, switches), HasSubstr("32"));
    EXPECT_THAT(userns_hint(EINVAL, switches), HasSubstr("CONFIG_USER_NS"));
    EXPECT_EQ(userns_hint(ENOMEM, switches), "");
  }
}

}  // namespace
}  // namespace caisson::sys
