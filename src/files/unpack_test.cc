#include "files/unpack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "files/pack.h"
#include "files/tar_writer.h"
#include "sys/tree.h"

namespace caisson::files {
namespace {

using Entry = std::pair<TarMember, std::string>;

Source source_of(const std::string& bytes) {
  return [&bytes, at = std::size_t{0}](std::span<char> buffer) mutable -> Result<std::size_t> {
    const std::size_t n = std::min(buffer.size(), bytes.size() - at);
    std::copy_n(bytes.data() + at, n, buffer.data());
    at += n;
    return n;
  };
}

class Unpack : public ::testing::Test {
 protected:
  Unpack() {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
    EXPECT_EQ(::mkdir((path_ + "/in").c_str(), 0755), 0);
    EXPECT_EQ(::mkdir((path_ + "/out").c_str(), 0755), 0);
    in_ = open_fd(path_ + "/in", O_RDONLY | O_DIRECTORY).value();
  }
  ~Unpack() override {
    const Fd tmp = open_fd("/tmp", O_PATH | O_DIRECTORY).value();
    EXPECT_TRUE(sys::remove_tree(tmp.get(), path_.substr(5)));
  }

  std::string reason(const std::vector<Entry>& entries, const UnpackOptions& options = {}) {
    std::string bytes;
    TarWriter writer([&](std::string_view piece) -> Result<> {
      bytes += piece;
      return {};
    });
    for (const auto& [member, content] : entries) EXPECT_TRUE(writer.add(member, content));
    EXPECT_TRUE(writer.finish());
    TarReader tar(source_of(bytes));
    const Result<Unpacked> done = unpack(tar, in_.get(), options);
    return done ? "" : done.error().reason;
  }
  bool there(const std::string& name) const {
    struct stat st{};
    return ::lstat((path_ + "/" + name).c_str(), &st) == 0;
  }
  mode_t mode(const std::string& name) const {
    struct stat st{};
    EXPECT_EQ(::lstat((path_ + "/" + name).c_str(), &st), 0);
    return st.st_mode & 07777;
  }
  std::string content(const std::string& name) const {
    return read_file(path_ + "/" + name).value();
  }

  static Entry file(const std::string& name, const std::string& text) {
    return {{.name = name, .size = text.size()}, text};
  }
  static Entry link(const std::string& name, const std::string& to) {
    return {{.name = name, .type = TarType::kSymlink, .mode = 0777, .link = to}, ""};
  }

  std::string path_ = "/tmp/caisson-unpack-XXXXXX";
  Fd in_;
};

TEST_F(Unpack, MakesWhatTheArchiveHas) {
  EXPECT_EQ(reason({{{.name = "d", .type = TarType::kDirectory, .mode = 0500}, ""},
                    file("d/f", "hello"),
                    link("d/l", "/nowhere"),
                    {{.name = "h", .type = TarType::kHardLink, .link = "d/f"}, ""},
                    file("made/up/g", "g")}),
            "");
  EXPECT_EQ(content("in/d/f"), "hello");
  EXPECT_EQ(mode("in/d"), 0500u);
  EXPECT_EQ(content("in/h"), "hello");
  EXPECT_EQ(content("in/made/up/g"), "g");
  EXPECT_TRUE(there("in/d/l"));
  ::chmod((path_ + "/in/d").c_str(), 0700);
}

TEST_F(Unpack, NothingLeadsOut) {
  EXPECT_EQ(reason({file("../out/x", "x")}), "member_unsafe");
  EXPECT_EQ(reason({file("a/../../out/x", "x")}), "member_unsafe");
  EXPECT_EQ(reason({file("/abs", "x")}), "");  // below, as with tar
  EXPECT_TRUE(there("in/abs"));
  EXPECT_EQ(reason({link("l", "../out"), file("l/x", "x")}), "path_in_the_way");
  EXPECT_EQ(reason({link("m", path_ + "/out"), file("m/x", "x")}), "path_in_the_way");
  EXPECT_EQ(reason({{{.name = "h", .type = TarType::kHardLink, .link = "../out"}, ""}}),
            "member_unsafe");
  EXPECT_EQ(reason({link("n", "../out"), {{.name = "n", .type = TarType::kDirectory}, ""}}),
            "path_in_the_way");
  EXPECT_FALSE(there("out/x"));
}

TEST_F(Unpack, AFileTakesThePlaceOfALinkAndDoesNotFollowIt) {
  ASSERT_EQ(::symlink((path_ + "/out/victim").c_str(), (path_ + "/in/f").c_str()), 0);
  EXPECT_EQ(reason({file("f", "mine")}), "");
  EXPECT_FALSE(there("out/victim"));
  EXPECT_EQ(content("in/f"), "mine");
}

TEST_F(Unpack, LinksOfTheSameArchiveAreNotFollowedEvenWhereOthersAre) {
  ASSERT_EQ(::symlink("../out", (path_ + "/in/mine").c_str()), 0);
  UnpackOptions options;
  options.follow = true;
  EXPECT_EQ(reason({file("mine/x", "x")}, options), "");
  EXPECT_TRUE(there("out/x"));
  EXPECT_EQ(reason({link("theirs", "../out"), file("theirs/y", "y")}, options), "member_unsafe");
  EXPECT_FALSE(there("out/y"));
}

TEST_F(Unpack, OnlyTheExpectedMemberAndItsNewName) {
  UnpackOptions options;
  options.only = "root";
  options.as = "new";
  EXPECT_EQ(reason({file("root", "x")}, options), "");
  EXPECT_EQ(content("in/new"), "x");
  EXPECT_EQ(reason({file("other", "x")}, options), "member_unsafe");
  EXPECT_EQ(reason({file("rootless", "x")}, options), "member_unsafe");
  options.as = "";
  EXPECT_EQ(
      reason({{{.name = "root/", .type = TarType::kDirectory}, ""}, file("root/a", "a")}, options),
      "");
  EXPECT_EQ(content("in/a"), "a");
}

TEST_F(Unpack, SetIdBitsAndDevicesAreLeftOut) {
  EXPECT_EQ(reason({{{.name = "s", .mode = 06755}, ""},
                    {{.name = "n", .type = TarType::kCharDevice, .major = 1, .minor = 3}, ""}}),
            "");
  EXPECT_EQ(mode("in/s"), 0755u);
  EXPECT_FALSE(there("in/n"));
}

TEST_F(Unpack, ADirectoryIsNotReplacedByAFile) {
  ASSERT_EQ(::mkdir((path_ + "/in/d").c_str(), 0700), 0);
  EXPECT_EQ(reason({file("d", "x")}), "path_in_the_way");
  EXPECT_EQ(reason({link("d", "x")}), "path_in_the_way");
  EXPECT_EQ(mode("in/d"), 0700u);
  // Nothing is left of the tries.
  EXPECT_EQ(::rmdir((path_ + "/in/d").c_str()), 0);
  in_.reset();
  EXPECT_EQ(::rmdir((path_ + "/in").c_str()), 0);
}

TEST_F(Unpack, WhatIsPackedComesBack) {
  EXPECT_EQ(reason({{{.name = "t", .type = TarType::kDirectory, .mode = 0750, .mtime = 7}, ""},
                    file("t/a", "aa"),
                    link("t/l", "a"),
                    {{.name = "t/h", .type = TarType::kHardLink, .link = "t/a"}, ""},
                    {{.name = "t/p", .type = TarType::kFifo, .mode = 0600}, ""}}),
            "");
  std::string bytes;
  TarWriter writer([&](std::string_view piece) -> Result<> {
    bytes += piece;
    return {};
  });
  const Packed packed =
      pack(open_at(in_.get(), "t", O_PATH).value(), {.name = "root"}, writer).value();
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ(packed.files, 5u);
  EXPECT_EQ(packed.bytes, 2u);
  TarReader tar(source_of(bytes));
  const Fd out = open_fd(path_ + "/out", O_RDONLY | O_DIRECTORY).value();
  ASSERT_TRUE(unpack(tar, out.get(), {.only = "root", .as = "t"}));
  struct stat a{}, h{}, t{};
  ASSERT_EQ(::lstat((path_ + "/out/t/a").c_str(), &a), 0);
  ASSERT_EQ(::lstat((path_ + "/out/t/h").c_str(), &h), 0);
  ASSERT_EQ(::lstat((path_ + "/out/t").c_str(), &t), 0);
  EXPECT_EQ(a.st_ino, h.st_ino);
  EXPECT_EQ(t.st_mtim.tv_sec, 7);
  EXPECT_EQ(mode("out/t"), 0750u);
  EXPECT_EQ(content("out/t/a"), "aa");
}

}  // namespace
}  // namespace caisson::files
