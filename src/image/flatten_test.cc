#include "image/flatten.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "base/unit_test_support.h"

namespace caisson::image {
namespace {

namespace fs = std::filesystem;

void put(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}
void whiteout(const std::string& path) {
  fs::create_directories(fs::path(path).parent_path());
  ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, makedev(0, 0)), 0) << errno;
}
std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class FlattenTest : public testing::Test {
 protected:
  Result<> run(const std::vector<std::string>& layers) {
    std::vector<std::string> paths;
    for (const std::string& layer : layers) paths.push_back(dir_ / layer);
    const Fd parent = open_fd(dir_.path(), O_RDONLY | O_DIRECTORY).value();
    return flatten(paths, parent.get(), "out");
  }
  std::string operator/(const std::string& name) const { return dir_ / name; }
  TestDirectory dir_;
};

TEST_F(FlattenTest, what_higher_layers_hide_does_not_show) {
  put(*this / "low/a/keep", "1");
  put(*this / "low/a/gone", "2");
  put(*this / "low/b/under", "3");
  put(*this / "low/c", "4");
  put(*this / "low/d/x", "5");
  put(*this / "top/a/new", "6");
  put(*this / "top/b/over", "7");
  put(*this / "top/d", "a file now");
  whiteout(*this / "top/a/gone");
  whiteout(*this / "top/c");
  ASSERT_EQ(::setxattr((*this / "top/b").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  const Result<> done = run({"top", "low"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(text_of(*this / "out/a/keep"), "1");
  EXPECT_EQ(text_of(*this / "out/a/new"), "6");
  EXPECT_FALSE(fs::exists(*this / "out/a/gone"));
  EXPECT_FALSE(fs::exists(*this / "out/b/under"));
  EXPECT_EQ(text_of(*this / "out/b/over"), "7");
  EXPECT_FALSE(fs::exists(*this / "out/c"));
  EXPECT_EQ(text_of(*this / "out/d"), "a file now");
  EXPECT_LT(::getxattr((*this / "out/b").c_str(), "user.overlay.opaque", nullptr, 0), 0);
}

TEST_F(FlattenTest, attributes_links_and_holes_are_kept) {
  put(*this / "low/d/f", "text");
  fs::create_hard_link(*this / "low/d/f", *this / "low/g");
  fs::create_symlink("/etc/shadow", *this / "low/l");
  ASSERT_EQ(::mkfifo((*this / "low/p").c_str(), 0), 0);
  ASSERT_EQ(::chmod((*this / "low/p").c_str(), 0666), 0);  // more than a umask leaves
  put(*this / "low/hole", "");
  ASSERT_EQ(::truncate((*this / "low/hole").c_str(), 1 << 20), 0);
  ASSERT_EQ(::chmod((*this / "low/d/f").c_str(), 04711), 0);
  ASSERT_EQ(::setxattr((*this / "low/d/f").c_str(), "user.note", "v", 1, 0), 0);
  const timespec times[2] = {{7, 8}, {7, 8}};
  for (const char* name : {"low/d/f", "low/d", "low/p"})
    ASSERT_EQ(::utimensat(AT_FDCWD, (*this / name).c_str(), times, 0), 0);
  ASSERT_EQ(::chmod((*this / "low/d").c_str(), 02755), 0);
  const Result<> done = run({"low"});
  ASSERT_TRUE(done) << done.error().message;
  struct stat f{}, g{}, d{}, hole{}, p{};
  ASSERT_EQ(::lstat((*this / "out/d/f").c_str(), &f), 0);
  ASSERT_EQ(::lstat((*this / "out/g").c_str(), &g), 0);
  ASSERT_EQ(::lstat((*this / "out/d").c_str(), &d), 0);
  ASSERT_EQ(::lstat((*this / "out/hole").c_str(), &hole), 0);
  ASSERT_EQ(::lstat((*this / "out/p").c_str(), &p), 0);
  EXPECT_EQ(f.st_ino, g.st_ino);
  EXPECT_EQ(f.st_mode & 07777, 04711u);
  EXPECT_EQ(d.st_mode & 07777, 02755u);
  EXPECT_EQ(f.st_mtim.tv_nsec, 8);
  EXPECT_EQ(d.st_mtim.tv_sec, 7);
  EXPECT_EQ(hole.st_size, 1 << 20);
  EXPECT_EQ(hole.st_blocks, 0);
  EXPECT_EQ(p.st_mode, S_IFIFO | 0666u);
  EXPECT_EQ(fs::read_symlink(*this / "out/l"), "/etc/shadow");
  char value = 0;
  EXPECT_EQ(::getxattr((*this / "out/d/f").c_str(), "user.note", &value, 1), 1);
}

TEST_F(FlattenTest, half_a_copy_has_no_name) {
  EXPECT_FALSE(run({"nowhere"}));
  EXPECT_FALSE(fs::exists(*this / "out"));
  EXPECT_FALSE(fs::exists(*this / "out.partial"));
}

}  // namespace
}  // namespace caisson::image
