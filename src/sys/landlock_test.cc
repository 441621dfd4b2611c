#include "sys/landlock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/unit_test_support.h"

namespace caisson::sys {
namespace {

#define NEEDS_LANDLOCK() \
  if (!landlock_abi()) GTEST_SKIP() << "no Landlock: " << landlock_abi().error().message

int child_errno(int result) { return result < 0 ? errno : 0; }

TEST(Landlock, RightsGrowWithTheLevel) {
  EXPECT_EQ(landlock_rights(1), 0x1fffu);
  EXPECT_EQ(landlock_rights(2), 0x3fffu);
  EXPECT_EQ(landlock_rights(3), 0x7fffu);
  EXPECT_EQ(landlock_rights(4), 0x7fffu);
  EXPECT_EQ(landlock_rights(5), 0xffffu);
}

TEST(Landlock, ReadsAndWritesOnlyWhereAllowed) {
  NEEDS_LANDLOCK();
  TestDirectory dir;
  for (const char* name : {"read", "write", "write/a", "write/b", "other"})
    ASSERT_EQ(::mkdir((dir / name).c_str(), 0755), 0);
  for (const char* name : {"read/f", "write/f", "other/f"})
    ASSERT_TRUE(open_fd(dir / name, O_WRONLY | O_CREAT, 0644));
  const int status = run_in_child([&] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    Fd read = std::move(*open_fd(dir / "read", O_PATH));
    Fd write = std::move(*open_fd(dir / "write", O_PATH));
    Result<Landlock> rules = Landlock::create();
    ASSERT_TRUE(rules);
    ASSERT_TRUE(rules->allow(read.get(), fs_access::kRead, "read"));
    ASSERT_TRUE(rules->allow(write.get(), fs_access::kReadWrite, "write"));
    ASSERT_TRUE(rules->restrict_self());
    EXPECT_TRUE(open_fd(dir / "read/f", O_RDONLY));
    EXPECT_EQ(child_errno(::open((dir / "read/f").c_str(), O_WRONLY)), EACCES);
    EXPECT_EQ(child_errno(::mkdir((dir / "read/new").c_str(), 0755)), EACCES);
    EXPECT_TRUE(open_fd(dir / "write/f", O_RDWR | O_TRUNC));
    EXPECT_EQ(::mkdir((dir / "write/new").c_str(), 0755), 0);
    ASSERT_TRUE(open_fd(dir / "write/a/f", O_WRONLY | O_CREAT, 0644));
    EXPECT_EQ(::link((dir / "write/a/f").c_str(), (dir / "write/b/f").c_str()), 0);
    EXPECT_EQ(child_errno(::open((dir / "other/f").c_str(), O_RDONLY)), EACCES);
    EXPECT_EQ(child_errno(::open("/etc/passwd", O_RDONLY)), EACCES);
    EXPECT_EQ(child_errno(::open("/proc/self/status", O_RDONLY)), EACCES);
  });
  EXPECT_EQ(status, 0);
}

TEST(Landlock, ARuleForAFileHasNoRightsOfDirectories) {
  NEEDS_LANDLOCK();
  TestDirectory dir;
  ASSERT_TRUE(open_fd(dir / "f", O_WRONLY | O_CREAT, 0644));
  const int status = run_in_child([&] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    Fd file = std::move(*open_fd(dir / "f", O_PATH));
    Result<Landlock> rules = Landlock::create();
    ASSERT_TRUE(rules);
    ASSERT_TRUE(rules->allow(file.get(), fs_access::kRead, "f"));
    ASSERT_TRUE(rules->restrict_self());
    EXPECT_TRUE(open_fd(dir / "f", O_RDONLY));
    EXPECT_EQ(child_errno(::open((dir / "f").c_str(), O_WRONLY)), EACCES);
    EXPECT_EQ(child_errno(::open(dir.path().c_str(), O_RDONLY)), EACCES);
  });
  EXPECT_EQ(status, 0);
}

TEST(Landlock, ForbidsTcp) {
  NEEDS_LANDLOCK();
  if (*landlock_abi() < 4) {
    EXPECT_EQ(Landlock::create({.forbid_tcp = true}).error().reason, "landlock_unavailable");
    GTEST_SKIP() << "Landlock below ABI 4";
  }
  const int status = run_in_child([&] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    Result<Landlock> rules = Landlock::create({.forbid_tcp = true});
    ASSERT_TRUE(rules);
    ASSERT_TRUE(rules->restrict_self());
    Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(
        child_errno(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)),
        EACCES);
  });
  EXPECT_EQ(status, 0);
}

TEST(Landlock, ForbidsSignalsOutward) {
  NEEDS_LANDLOCK();
  if (*landlock_abi() < 6) {
    EXPECT_EQ(Landlock::create({.forbid_scope = true}).error().reason, "landlock_unavailable");
    GTEST_SKIP() << "Landlock below ABI 6";
  }
  const int status = run_in_child([&] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    Result<Landlock> rules = Landlock::create({.forbid_scope = true});
    ASSERT_TRUE(rules);
    ASSERT_TRUE(rules->restrict_self());
    EXPECT_EQ(child_errno(::kill(::getppid(), 0)), EPERM);
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace caisson::sys
