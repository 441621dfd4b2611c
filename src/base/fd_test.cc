#include "base/fd.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/unit_test_support.h"

namespace caisson {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
bool is_cloexec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

TEST(Fd, ClosesOnceAndMoves) {
  int number = -1;
  {
    Fd first = open_fd("/dev/null", O_RDONLY).value();
    number = first.get();
    Fd second = std::move(first);
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(second.get(), number);
    second = std::move(second);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, AssignmentClosesTheOldOneAndReleaseDoesNot) {
  Fd kept = open_fd("/dev/null", O_RDONLY).value();
  const int old = kept.get();
  kept = open_fd("/dev/zero", O_RDONLY).value();
  EXPECT_FALSE(is_open(old));
  const int number = kept.release();
  EXPECT_FALSE(kept);
  EXPECT_TRUE(is_open(number));
  const Fd last(number);
}

TEST(Fd, EveryDescriptorIsCloseOnExec) {
  const Pipe pipe = make_pipe().value();
  const Fd file = open_fd("/dev/null", O_RDONLY).value();
  const Fd copy = duplicate(1).value();
  for (int fd : {pipe.read.get(), pipe.write.get(), file.get(), copy.get()})
    EXPECT_TRUE(is_cloexec(fd));
  EXPECT_GE(copy.get(), 3);
  EXPECT_EQ(duplicate(-1).error().sys_errno, EBADF);
}

TEST(Fd, NamesInADirectory) {
  const TestDirectory directory;
  const Fd fd = open_fd(directory.path(), O_RDONLY | O_DIRECTORY).value();
  for (const char* name : {"a", "b", ".c"}) EXPECT_TRUE(replace_file(fd.get(), name, "", 0600));
  for (const auto& names : {names_in(directory.path()), names_in(".", fd.get())})
    EXPECT_THAT(names, testing::UnorderedElementsAre("a", "b"));
  EXPECT_TRUE(names_in(directory / "a").empty());
  EXPECT_TRUE(names_in(directory / "none").empty());
}

TEST(Fd, OpenNamesThePathInItsError) {
  const auto missing = open_fd("/nowhere/at all", O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "open '/nowhere/at all': No such file or directory");
}

TEST(Fd, ReadAllHasAMaximum) {
  const TestDirectory dir;
  Fd file = open_fd(dir / "f", O_RDWR | O_CREAT, 0600).value();
  const std::string data(100'000, 'x');
  ASSERT_TRUE(write_all(file.get(), data, "f"));
  EXPECT_EQ(read_file(dir / "f").value(), data);
  EXPECT_EQ(read_file(dir / "f", data.size()).value(), data);
  EXPECT_EQ(read_file(dir / "f", data.size() - 1).error().reason, "file_too_large");
  EXPECT_EQ(read_file(dir.path()).error().sys_errno, EISDIR);
}

TEST(Fd, WriteAllReportsAFullDevice) {
  const Fd full = open_fd("/dev/full", O_WRONLY).value();
  const auto written = write_all(full.get(), "x", "/dev/full");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().reason, "disk_full");
}

TEST(Fd, ReplaceFileIsAllOrNothing) {
  const TestDirectory dir;
  const Fd at = open_fd(dir.path(), O_RDONLY | O_DIRECTORY).value();
  ASSERT_TRUE(replace_file(at.get(), "f", "old", 0640));
  ASSERT_TRUE(replace_file(at.get(), "f", "new text", 0600));
  EXPECT_EQ(read_file(dir / "f").value(), "new text");
  ASSERT_EQ(::mkdir((dir / "taken").c_str(), 0700), 0);
  EXPECT_FALSE(replace_file(at.get(), "taken", "x", 0600));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 2)
      << "no temporary file stays";
}

TEST(Fd, NonblockingCanBeSwitched) {
  const Pipe pipe = make_pipe().value();
  ASSERT_TRUE(set_nonblocking(pipe.read.get()));
  EXPECT_EQ(read_all(pipe.read.get(), 1, "pipe").error().sys_errno, EAGAIN);
  ASSERT_TRUE(set_nonblocking(pipe.read.get(), false));
  EXPECT_EQ(::fcntl(pipe.read.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(set_nonblocking(-1).error().sys_errno, EBADF);
}

}  // namespace
}  // namespace caisson
