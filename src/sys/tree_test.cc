#include "sys/tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "base/fd.h"
#include "base/unit_test_support.h"

namespace caisson::sys {
namespace {

namespace fs = std::filesystem;

class Tree : public testing::Test {
 protected:
  Result<> remove(const std::string& name) const {
    const Fd parent = open_fd(test_.path(), O_PATH | O_DIRECTORY).value();
    return remove_tree(parent.get(), name);
  }
  /// Directories in each other.
  void make_deep(const std::string& name, int depth, mode_t mode = 0755) const {
    ASSERT_EQ(::mkdir((test_ / name).c_str(), 0755), 0);
    Fd at = open_fd(test_ / name, O_PATH | O_DIRECTORY).value();
    for (int i = 0; i < depth; ++i) {
      ASSERT_EQ(::mkdirat(at.get(), "d", mode), 0);
      at = open_at(at.get(), "d", O_PATH | O_DIRECTORY).value();
    }
  }
  bool exists(const std::string& name) const {
    return fs::exists(fs::symlink_status(test_ / name));
  }

  TestDirectory test_;
};

TEST_F(Tree, AbsentIsSuccess) { EXPECT_TRUE(remove("nothing")); }

TEST_F(Tree, AllKindsOfFiles) {
  fs::create_directories(test_ / "t/a/b");
  fs::create_directories(test_ / "t/empty");
  std::ofstream(test_ / "t/a/file") << "x";
  ASSERT_EQ(::mkfifo((test_ / "t/a/b/fifo").c_str(), 0), 0);
  fs::create_symlink("nowhere", test_ / "t/a/dangling");
  EXPECT_TRUE(remove("t"));
  EXPECT_FALSE(exists("t"));
  std::ofstream(test_ / "plain") << "x";
  EXPECT_TRUE(remove("plain"));
  EXPECT_FALSE(exists("plain"));
}

TEST_F(Tree, SymbolicLinksAreNotFollowed) {
  fs::create_directories(test_ / "kept");
  std::ofstream(test_ / "kept/file") << "x";
  fs::create_directories(test_ / "t");
  fs::create_directory_symlink(test_ / "kept", test_ / "t/link");
  fs::create_directory_symlink(test_ / "kept", test_ / "link");
  EXPECT_TRUE(remove("t"));
  EXPECT_TRUE(remove("link"));
  EXPECT_FALSE(exists("link"));
  EXPECT_TRUE(exists("kept/file"));
}

TEST_F(Tree, DeeperThanDescriptorsReach) {
  make_deep("t", 600);
  rlimit few{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_EQ(run_in_child([&] {
              few.rlim_cur = 128;
              ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
              const auto removed = remove("t");
              EXPECT_TRUE(removed) << removed.error().message;
            }),
            0);
  EXPECT_FALSE(exists("t"));
}

TEST_F(Tree, DeepTreeWhoseTopHasTheNamesThatAreUsed) {
  make_deep("t", 200);
  std::ofstream(test_ / "t/removed-0") << "x";
  fs::create_directories(test_ / "t/removed-1/full");
  const auto removed = remove("t");
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_FALSE(exists("t"));
}

TEST_F(Tree, UnwritableDirectoriesOfAnOrdinaryUser) {
  ASSERT_EQ(::chmod(test_.path().c_str(), 0777), 0);
  EXPECT_EQ(run_in_child([&] {
              ASSERT_TRUE(::geteuid() != 0 || ::setuid(65534) == 0);
              ASSERT_NO_FATAL_FAILURE(make_deep("t", 100));
              fs::create_directories(test_ / "t/a/b/c");
              std::ofstream(test_ / "t/a/b/file") << "x";
              for (const char* name : {"t/a/b/c", "t/a/b", "t/a"})
                ASSERT_EQ(::chmod((test_ / name).c_str(), 0), 0);
              ASSERT_EQ(::chmod((test_ / "t").c_str(), 0500), 0);
              const auto removed = remove("t");
              EXPECT_TRUE(removed) << removed.error().message;
            }),
            0);
  EXPECT_FALSE(exists("t"));
}

TEST_F(Tree, RelativeToTheWorkingDirectory) {
  fs::create_directories(test_ / "t/a");
  EXPECT_TRUE(remove_tree(AT_FDCWD, test_ / "t"));
  EXPECT_FALSE(exists("t"));
}

}  // namespace
}  // namespace caisson::sys
