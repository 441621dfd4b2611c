#include "image/changes.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/unit_test_support.h"

namespace caisson::image {
namespace {

using namespace std::string_literals;

TEST(ChangesTest, WhatIsWrittenIsRead) {
  const TestDirectory dir;
  for (const char* tree : {"old", "new"}) std::filesystem::create_directory(dir / tree);
  std::ofstream(dir / "old/gone") << "1";
  std::ofstream(dir / "new/a\nb") << "2";
  std::ofstream(dir / "old/same") << "3";
  std::ofstream(dir / "new/same") << "4";
  std::string bytes;
  ASSERT_TRUE(write_changes({dir / "old"}, {dir / "new"}, [&](std::string_view piece) {
    bytes += piece;
    return Result<>();
  }));
  EXPECT_EQ(bytes, "A/a\nb\0D/gone\0C/same\0"s);
  const Result<std::vector<Change>> changes = read_changes(bytes);
  ASSERT_TRUE(changes);
  ASSERT_EQ(changes->size(), 3u);
  EXPECT_EQ(changes->front().kind, ChangeKind::kAdded);
  EXPECT_EQ(changes->front().path, "/a\nb");
}

TEST(ChangesTest, NoDifferenceIsNoByte) { EXPECT_TRUE(read_changes("").value().empty()); }

TEST(ChangesTest, AHostileListIsRefused) {
  const std::string longest(255, 'n');
  EXPECT_TRUE(read_changes("A/" + longest + "\0"s));
  for (const std::string& bytes :
       {"A/a"s, "A\0"s, "A/\0"s, "Aa\0"s, "X/a\0"s, "\0"s, "\0/a\0"s, "A/a\0D"s, "A/../a\0"s,
        "A/a/..\0"s, "A/./a\0"s, "A//a\0"s, "A/a/\0"s, "A/n" + longest + "\0"s, "A/a\0\0"s,
        "a/a\0"s, "\xff/a\0"s}) {
    const Result<std::vector<Change>> changes = read_changes(bytes);
    ASSERT_FALSE(changes) << bytes;
    EXPECT_EQ(changes.error().reason, "protocol_error");
  }
}

}  // namespace
}  // namespace caisson::image
