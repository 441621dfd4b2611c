#include "sys/quota.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>

#include "base/unit_test_support.h"
#include "sys/mount.h"

namespace caisson::sys {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

/// How much can be written to a new file, at most 8 MiB, and why no more.
struct Written {
  std::uint64_t bytes = 0;
  int error = 0;
};
Written fill(const std::string& path) {
  Written written;
  const Fd file = open_fd(path, O_WRONLY | O_CREAT | O_EXCL, 0644).value();
  const std::string block(64u << 10, 'x');
  while (written.bytes < 8 * kMiB) {
    const ssize_t n = ::write(file.get(), block.data(), block.size());
    if (n < 0) {
      written.error = errno;
      break;
    }
    written.bytes += static_cast<std::uint64_t>(n);
  }
  return written;
}

/// Not as root, whom ext4 lets pass.
void fill_both(const std::string& mnt) {
  ASSERT_EQ(::setgid(65534), 0);
  ASSERT_EQ(::setuid(65534), 0);
  ASSERT_EQ(::mkdir((mnt + "/a/deep").c_str(), 0755), 0);
  const Written first = fill(mnt + "/a/deep/file");
  EXPECT_LE(first.bytes, kMiB);
  EXPECT_GE(first.bytes, kMiB / 2);
  EXPECT_TRUE(first.error == ENOSPC || first.error == EDQUOT) << first.error;
  const Written second = fill(mnt + "/b/file");
  EXPECT_LE(second.bytes, 2 * kMiB);
  EXPECT_GT(second.bytes, kMiB);
}

class QuotaTest : public testing::TestWithParam<const char*> {
 protected:
  /// Runs in a child with a file system of its own at `mnt`; skipped where that cannot be.
  template <class F>
  void on_loop(const std::string& make, const std::string& options, F checks) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    constexpr int kCannot = 77;
    const int status = run_in_child([&] {
      const std::string image = test_ / "image", mnt = test_ / "mnt";
      std::ofstream(image).close();
      ASSERT_EQ(::truncate(image.c_str(), 320 * kMiB), 0);
      ASSERT_EQ(::mkdir(mnt.c_str(), 0755), 0);
      ASSERT_EQ(::chmod(test_.path().c_str(), 0755), 0);
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
      ASSERT_TRUE(make_private());
      const std::string script = make + " " + image + " && mount -o loop," + options + " " + image +
                                 " " + mnt + " 2>&1 >/dev/null";
      if (std::system(script.c_str()) != 0) ::_exit(kCannot);  // NOLINT(cert-env33-c)
      checks(mnt);
    });
    if (WIFEXITED(status) && WEXITSTATUS(status) == kCannot)
      GTEST_SKIP() << "cannot make and mount a loop file system with " << options << ": " << make;
    EXPECT_EQ(status, 0);
  }

  TestDirectory test_;
};

TEST_P(QuotaTest, ADirectoryTakesNoMoreThanItsLimit) {
  on_loop(GetParam(), "prjquota", [](const std::string& mnt) {
    const Fd top = open_fd(mnt, O_RDONLY | O_DIRECTORY).value();
    ASSERT_TRUE(check_quota(top.get(), mnt)) << check_quota(top.get(), mnt).error().message;
    EXPECT_EQ(limit_of(top.get()), 0u);
    for (const char* name : {"a", "b"}) ASSERT_EQ(::mkdir((mnt + "/" + name).c_str(), 0777), 0);
    const Fd a = open_fd(mnt + "/a", O_RDONLY | O_DIRECTORY).value();
    Fd b = open_fd(mnt + "/b", O_RDONLY | O_DIRECTORY).value();
    // The same key: the number of the other is in use, another is taken.
    ASSERT_TRUE(limit_directory(a.get(), "a", "key", kMiB));
    ASSERT_TRUE(limit_directory(b.get(), "b", "key", 2 * kMiB));
    EXPECT_NE(limit_of(a.get()), 0u);
    EXPECT_EQ(limit_of(a.get()) + 1, limit_of(b.get()));
    for (const char* name : {"a", "b"}) ASSERT_EQ(::chmod((mnt + "/" + name).c_str(), 0777), 0);

    EXPECT_EQ(run_in_child([&] { fill_both(mnt); }), 0);
    // Again, and with another size.
    ASSERT_TRUE(limit_directory(a.get(), "a", "key", kMiB));
    const std::uint32_t number = limit_of(a.get());
    ASSERT_TRUE(limit_directory(a.get(), "a", "key", 4 * kMiB));
    EXPECT_EQ(limit_of(a.get()), number);

    // What has been removed can be had again.
    std::filesystem::remove_all(mnt + "/b");
    const std::uint32_t second = limit_of(b.get());
    b.reset();  // or the directory and its number would still be in use
    forget_limit(top.get(), second);
    ASSERT_EQ(::mkdir((mnt + "/c").c_str(), 0755), 0);
    const Fd c = open_fd(mnt + "/c", O_RDONLY | O_DIRECTORY).value();
    ASSERT_TRUE(limit_directory(c.get(), "c", "key", kMiB));
    // XFS gives back the blocks of removed files only by and by.
    EXPECT_TRUE(limit_of(c.get()) == second || limit_of(c.get()) == second + 1);
  });
}

TEST_P(QuotaTest, WithoutTheMountOptionItIsRefused) {
  on_loop(GetParam(), "noquota", [](const std::string& mnt) {
    const Fd top = open_fd(mnt, O_RDONLY | O_DIRECTORY).value();
    EXPECT_EQ(check_quota(top.get(), mnt).error().reason, "volume_size_unsupported");
    EXPECT_EQ(limit_directory(top.get(), mnt, "key", kMiB).error().reason,
              "volume_size_unsupported");
    EXPECT_EQ(limit_of(top.get()), 0u);
  });
}

INSTANTIATE_TEST_SUITE_P(FileSystems, QuotaTest,
                         testing::Values("mkfs.xfs -q", "mkfs.ext4 -q -F -O quota,project"),
                         [](const auto& p) {
                           return std::string(p.param).starts_with("mkfs.xfs") ? "xfs" : "ext4";
                         });

TEST(Quota, OtherFileSystemsAreRefused) {
  const Fd proc = open_fd("/proc", O_RDONLY | O_DIRECTORY).value();
  const Error error = check_quota(proc.get(), "/proc").error();
  EXPECT_EQ(error.reason, "volume_size_unsupported");
  EXPECT_TRUE(error.message.starts_with("limit directory '/proc': ")) << error.message;
  EXPECT_EQ(limit_of(proc.get()), 0u);
}

}  // namespace
}  // namespace caisson::sys
