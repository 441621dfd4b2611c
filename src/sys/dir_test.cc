#include "sys/dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/unit_test_support.h"

namespace caisson::sys {
namespace {

/// A root that a box could have prepared, and beside it what must stay out of reach.
class DirTest : public testing::Test {
 protected:
  void SetUp() override {
    namespace fs = std::filesystem;
    for (const char* path : {"outside", "root/etc", "root/a/b"})
      fs::create_directories(test_ / path);
    write("outside/secret", "secret");
    write("root/etc/passwd", "box");
    fs::create_symlink("/etc", test_ / "root/absolute");
    fs::create_symlink("../../../../outside", test_ / "root/upward");
    fs::create_symlink(test_ / "outside", test_ / "root/outward");
    fs::create_symlink("/proc/self/root", test_ / "root/magic");
    fs::create_symlink("loop", test_ / "root/loop");
    fs::create_symlink("/not/there", test_ / "root/dangling");
    ASSERT_EQ(::mkfifo((test_ / "root/fifo").c_str(), 0600), 0);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(test_ / name) << text;
  }
  Dir root() const { return Dir::open(test_ / "root").value(); }
  static int error_of(const Result<Fd>& fd) { return fd ? 0 : fd.error().sys_errno; }
  static bool same(const Fd& fd, const std::string& path) {
    struct stat a{}, b{};
    return ::fstat(fd.get(), &a) == 0 && ::stat(path.c_str(), &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
  }
  bool outside_untouched() const {
    return std::distance(std::filesystem::directory_iterator(test_ / "outside"), {}) == 1 &&
           read_file(test_ / "outside/secret").value_or("") == "secret";
  }

  TestDirectory test_;
};

TEST_F(DirTest, PathsStartAtTheRootHoweverTheyAreSpelled) {
  for (const char* path : {"etc/passwd", "/etc/passwd", "//etc/./passwd", "../../etc/passwd",
                           "a/b/../../etc/passwd", "a/../../../../../etc/passwd"})
    EXPECT_EQ(root().read(path, 100).value_or("?"), "box") << path;
}

TEST_F(DirTest, SymbolicLinksAreTakenFromTheRoot) {
  EXPECT_EQ(root().read("absolute/passwd", 100).value_or("?"), "box");
  EXPECT_EQ(error_of(root().open_at("upward/secret", O_RDONLY)), ENOENT);
  EXPECT_EQ(error_of(root().open_at("outward/secret", O_RDONLY)), ENOENT);
  EXPECT_EQ(error_of(root().open_at("loop", O_RDONLY)), ELOOP);
}

TEST_F(DirTest, MagicLinksAreRefused) {
  const Dir host = Dir::open("/").value();
  EXPECT_EQ(error_of(host.open_at("/proc/self/root/etc", O_PATH)), ELOOP);
  EXPECT_EQ(error_of(host.open_at("/proc/self/cwd", O_PATH)), ELOOP);
  EXPECT_EQ(error_of(host.open_at("/proc/self/fd/0", O_PATH)), ELOOP);
  EXPECT_EQ(error_of(root().open_at("magic/etc", O_PATH)), ENOENT);
}

TEST_F(DirTest, WithoutAnySymlinks) {
  EXPECT_EQ(error_of(root().open_no_symlinks("absolute/passwd", O_RDONLY)), ELOOP);
  EXPECT_EQ(error_of(root().open_no_symlinks("absolute", O_PATH | O_DIRECTORY)), ELOOP);
  EXPECT_EQ(error_of(root().open_no_symlinks("/etc/passwd", O_RDONLY)), 0);
}

TEST_F(DirTest, ReadingNeverBlocksOrTakesWhatIsNoFile) {
  EXPECT_EQ(root().read("fifo", 100).error().sys_errno, EINVAL);
  EXPECT_FALSE(root().read("etc", 100));
  EXPECT_EQ(root().read("etc/passwd", 2).error().reason, "file_too_large");
  EXPECT_EQ(root().read("none", 100).error().sys_errno, ENOENT);
  EXPECT_EQ(Dir::open("/").value().read("/dev/zero", 100).error().sys_errno, EINVAL);
}

TEST_F(DirTest, MakePathMakesWhatIsMissing) {
  const Fd made = root().make_path("/new/and/deep", 0711).value();
  EXPECT_TRUE(same(made, test_ / "root/new/and/deep"));
  const Fd again = root().make_path("new/and/deep/").value();
  EXPECT_TRUE(same(again, test_ / "root/new/and/deep"));
  EXPECT_TRUE(same(root().make_path("/").value(), test_ / "root"));
  EXPECT_TRUE(same(root().make_path("").value(), test_ / "root"));
  EXPECT_EQ(error_of(root().make_path("etc/passwd")), ENOTDIR);
  EXPECT_EQ(error_of(root().make_path("etc/passwd/below")), ENOTDIR);
}

TEST_F(DirTest, MakingThingsThroughLinksStaysInside) {
  EXPECT_TRUE(same(root().make_path("absolute/new").value(), test_ / "root/etc/new"));
  EXPECT_TRUE(same(root().make_file("absolute/file").value(), test_ / "root/etc/file"));
  for (const char* path : {"upward/x", "outward/x", "dangling/x", "dangling", "magic/x"}) {
    [[maybe_unused]] const auto directory = root().make_path(path);
    [[maybe_unused]] const auto file = root().make_file(path);
  }
  EXPECT_TRUE(outside_untouched());
  EXPECT_TRUE(same(root().make_path("../../up").value(), test_ / "root/up"));
  EXPECT_FALSE(std::filesystem::exists(test_ / "up"));
}

TEST_F(DirTest, MakeFileKeepsWhatIsThere) {
  EXPECT_TRUE(same(root().make_file("etc/passwd").value(), test_ / "root/etc/passwd"));
  EXPECT_EQ(root().read("etc/passwd", 100).value(), "box");
  EXPECT_TRUE(same(root().make_file("x/y/z").value(), test_ / "root/x/y/z"));
  EXPECT_EQ(root().read("x/y/z", 100).value(), "");
}

TEST(Dir, ParentOf) {
  EXPECT_EQ(parent_of("/a/b"), "/a");
  EXPECT_EQ(parent_of("/a/b//"), "/a");
  EXPECT_EQ(parent_of("/a"), "/");
  EXPECT_EQ(parent_of("a"), ".");
  EXPECT_EQ(parent_of("/"), "/");
  EXPECT_EQ(parent_of(""), ".");
}

TEST(Dir, OpenNeedsADirectory) {
  EXPECT_EQ(Dir::open("/nowhere").error().sys_errno, ENOENT);
  EXPECT_EQ(Dir::open("/dev/null").error().sys_errno, ENOTDIR);
}

}  // namespace
}  // namespace caisson::sys
