#include "container/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/unit_test_support.h"

namespace caisson::container {
namespace {

constexpr std::uint64_t kAll = UINT64_MAX;
constexpr std::size_t kPiece = 256u << 10;

class Disk : public testing::Test {
 protected:
  void write(const std::string& name) const {
    const Fd fd = open_fd(test_ / name, O_WRONLY | O_CREAT, 0600).value();
    ASSERT_TRUE(write_all(fd.get(), std::string(kPiece, 'x'), name));
    ASSERT_EQ(::fsync(fd.get()), 0);  // some file systems allocate late
  }
  std::uint64_t bytes(std::uint64_t enough = kAll) const {
    return directory_bytes(test_.path(), enough);
  }

  TestDirectory test_;
};

TEST_F(Disk, CountsWhatIsAllocated) {
  const std::uint64_t before = bytes();
  write("a");
  EXPECT_GE(bytes(), before + kPiece);
  EXPECT_LT(bytes(), before + kPiece + 65536);
  std::filesystem::create_directories(test_ / "d/e/f");
  write("d/e/f/b");
  EXPECT_GE(bytes(), before + 2 * kPiece);
}

TEST_F(Disk, HolesAreFree) {
  const std::uint64_t before = bytes();
  const Fd fd = open_fd(test_ / "sparse", O_WRONLY | O_CREAT, 0600).value();
  ASSERT_EQ(::ftruncate(fd.get(), 1ll << 33), 0);
  EXPECT_LT(bytes(), before + 65536);
}

TEST_F(Disk, SeveralNamesCountOnce) {
  write("a");
  const std::uint64_t one = bytes();
  for (int i = 0; i < 3; ++i)
    std::filesystem::create_hard_link(test_ / "a", test_ / ("link" + std::to_string(i)));
  EXPECT_LE(bytes(), one + 65536);
  EXPECT_GE(bytes() + 65536, one);
}

TEST_F(Disk, LinksAreNotFollowed) {
  std::filesystem::create_directories(test_ / "in");
  write("big");
  std::filesystem::create_symlink("../big", test_ / "in/file");
  std::filesystem::create_directory_symlink("/", test_ / "in/root");
  EXPECT_LT(directory_bytes(test_ / "in", kAll), 65536u);
  EXPECT_EQ(directory_bytes(test_ / "in/root", kAll), 0u) << "not even the first";
}

TEST_F(Disk, StopsWhenItIsEnough) {
  for (int i = 0; i < 20; ++i) write("f" + std::to_string(i));
  EXPECT_GE(bytes(), 20 * kPiece);
  const std::uint64_t some = bytes(kPiece);
  EXPECT_GT(some, kPiece);
  EXPECT_LT(some, 4 * kPiece);
}

TEST_F(Disk, WhatIsTooDeepToCountIsTooMuch) {
  std::string deep = test_.path();
  Fd at = open_fd(deep, O_PATH | O_DIRECTORY).value();
  for (int i = 0; i < 600; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    at = open_at(at.get(), "d", O_PATH | O_DIRECTORY).value();
  }
  EXPECT_GT(bytes(1ull << 40), 1ull << 40);
}

TEST_F(Disk, OpenFilesWithoutANameAreFound) {
  const Fd root = open_fd("/", O_PATH | O_DIRECTORY).value();
  const Fd file = open_fd(test_ / "gone", O_RDWR | O_CREAT, 0600).value();
  struct stat of_root{}, of_file{};
  ASSERT_EQ(::fstat(root.get(), &of_root), 0);
  ASSERT_EQ(::fstat(file.get(), &of_file), 0);
  if (of_root.st_dev != of_file.st_dev)
    GTEST_SKIP() << "the test's directory is not on the root's file system";
  ASSERT_TRUE(write_all(file.get(), std::string(kPiece, 'x'), "gone"));
  ASSERT_EQ(::fsync(file.get()), 0);
  const std::uint64_t named = unlinked_bytes(root.get(), kAll);
  ASSERT_EQ(::unlink((test_ / "gone").c_str()), 0);
  EXPECT_GE(unlinked_bytes(root.get(), kAll) + kPiece / 2, named + kPiece);
}

TEST_F(Disk, MissingIsEmpty) { EXPECT_EQ(directory_bytes(test_ / "none", kAll), 0u); }

}  // namespace
}  // namespace caisson::container
