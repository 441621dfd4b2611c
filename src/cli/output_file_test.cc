#include "cli/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace caisson::cli {
namespace {

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(OutputFile, AnOldFileStaysUntilTheCommit) {
  const std::string path = testing::TempDir() + "output_file_test";
  std::ofstream(path) << "old";
  {
    auto file = OutputFile::open(path);
    ASSERT_TRUE(file);
    ASSERT_EQ(::write(file->fd(), "half", 4), 4);
  }
  EXPECT_EQ(content(path), "old");
  auto file = OutputFile::open(path);
  ASSERT_TRUE(file);
  ASSERT_EQ(::write(file->fd(), "new", 3), 3);
  EXPECT_TRUE(file->commit());
  EXPECT_EQ(content(path), "new");
  ::unlink(path.c_str());
}

TEST(OutputFile, ADeviceIsWrittenAsItIs) {
  auto file = OutputFile::open("/dev/null");
  ASSERT_TRUE(file);
  EXPECT_EQ(::write(file->fd(), "x", 1), 1);
  EXPECT_TRUE(file->commit());
  EXPECT_FALSE(OutputFile::open("/does/not/exist"));
}

TEST(CopyFile, HolesStayHoles) {
  auto from = open_spool("a test");
  auto to = open_spool("a test");
  ASSERT_TRUE(from && to);
  ASSERT_EQ(::pwrite(*from, "begin", 5, 0), 5);
  ASSERT_EQ(::pwrite(*from, "end", 3, 64 << 20), 3);
  ASSERT_EQ(::ftruncate(*from, 128 << 20), 0);
  ASSERT_TRUE(copy_file(*from, *to, "a", "b"));
  struct stat status{};
  ASSERT_EQ(::fstat(*to, &status), 0);
  EXPECT_EQ(status.st_size, 128 << 20);
  EXPECT_LT(status.st_blocks, 1000);
  char text[4] = {};
  EXPECT_EQ(::pread(*to, text, 3, 64 << 20), 3);
  EXPECT_STREQ(text, "end");
  ::close(*from);
  ::close(*to);
}

TEST(CopyFile, FromAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(::write(ends[1], "through", 7), 7);
  ::close(ends[1]);
  auto to = open_spool("a test");
  ASSERT_TRUE(to);
  EXPECT_TRUE(copy_file(ends[0], *to, "a", "b"));
  char text[8] = {};
  EXPECT_EQ(::pread(*to, text, 7, 0), 7);
  EXPECT_STREQ(text, "through");
  ::close(ends[0]);
  ::close(*to);
}

}  // namespace
}  // namespace caisson::cli
