#include "image/diff.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "base/unit_test_support.h"
#include "image/flatten.h"

namespace caisson::image {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class Layers : public testing::Test {
 protected:
  TestDirectory dir_;

  std::string file(const std::string& layer, const std::string& path, const std::string& text) {
    const std::string whole = dir_ / (layer + "/" + path);
    fs::create_directories(fs::path(whole).parent_path());
    std::ofstream(whole) << text;
    set_time(whole);
    return whole;
  }
  static void set_time(const std::string& path) {
    const timespec times[2] = {{1000, 0}, {1000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  void whiteout(const std::string& path) {
    // Nobody needs a capability for it, mknod(2) since Linux 5.8.
    ASSERT_EQ(::mknod((dir_ / path).c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  void opaque(const std::string& path) {
    ASSERT_EQ(::setxattr((dir_ / path).c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  }
  std::vector<std::string> compare(std::vector<std::string> before,
                                   std::vector<std::string> after) {
    for (auto* layers : {&before, &after})
      for (std::string& layer : *layers) layer = dir_ / layer;
    std::vector<std::string> found;
    EXPECT_TRUE(compare_layers(before, after, [&](const Change& change) -> Result<> {
      found.push_back(static_cast<char>(change.kind) + (" " + change.path));
      return {};
    }));
    std::erase_if(found, [](const std::string& line) { return line.starts_with("C /dir"); });
    return found;
  }
};

TEST_F(Layers, WhatShowsIsCompared) {
  file("base", "dir/kept", "k");
  file("base", "dir/gone", "g");
  file("base", "changed", "old");
  file("base", "same", "s");
  file("up", "dir/new", "n");
  file("up", "changed", "new");
  file("up", "same", "s");
  whiteout("up/dir/gone");
  EXPECT_THAT(compare({"base"}, {"up", "base"}),
              ElementsAre("C /changed", "D /dir/gone", "A /dir/new"));
  EXPECT_THAT(compare({"up", "base"}, {"base"}),
              ElementsAre("C /changed", "A /dir/gone", "D /dir/new"));
  EXPECT_THAT(compare({"up", "base"}, {"up", "base"}), IsEmpty());
}

TEST_F(Layers, OpaqueDirectoriesHideWhatIsBelow) {
  file("base", "dir/a", "a");
  file("base", "dir/b/c", "c");
  file("up", "dir/d", "d");
  opaque("up/dir");
  EXPECT_THAT(compare({"base"}, {"up", "base"}), ElementsAre("D /dir/a", "D /dir/b", "A /dir/d"));
}

TEST_F(Layers, TimesDoNotHideAChange) {
  file("base", "f", "one");
  file("up", "f", "two");
  EXPECT_THAT(compare({"base"}, {"up", "base"}), ElementsAre("C /f"));
}

TEST_F(Layers, ADirectoryInPlaceOfAFile) {
  file("base", "x", "file");
  file("up", "x/in", "i");
  opaque("up/x");
  EXPECT_THAT(compare({"base"}, {"up", "base"}), ElementsAre("C /x", "A /x/in"));
}

/// An overlay with one layer made of several shows what it shows with them.
TEST_F(Layers, JoinedLayersShowTheSame) {
  file("base", "dir/a", "a");
  file("base", "dir/b", "b");
  file("base", "gone", "g");
  file("one", "dir/c", "c");
  whiteout("one/dir/a");
  file("two", "dir/d", "d");
  file("two", "x", "x");
  whiteout("two/gone");
  opaque("one/dir");
  const Fd parent = *open_fd(dir_.path(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(copy_layers({dir_ / "two", dir_ / "one"}, parent.get(), "joined"));
  EXPECT_THAT(compare({"two", "one", "base"}, {"joined", "base"}), IsEmpty());
  EXPECT_THAT(compare({"base"}, {"joined", "base"}),
              ElementsAre("D /dir/a", "D /dir/b", "A /dir/c", "A /dir/d", "D /gone", "A /x"));
}

}  // namespace
}  // namespace caisson::image
