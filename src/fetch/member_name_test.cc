#include "fetch/member_name.h"

#include <gtest/gtest.h>

#include "fetch/dir_stack.h"

namespace caisson::fetch {
namespace {

std::string split(std::string_view name) {
  std::vector<std::string_view> components;
  const Result<> result = split_name(name, 5, components);
  return result ? join_path(components) : result.error().reason;
}

TEST(MemberName, IsNormalised) {
  EXPECT_EQ(split("a/b"), "a/b");
  EXPECT_EQ(split("/a//b/"), "a/b");
  EXPECT_EQ(split("./a/./b/."), "a/b");
  EXPECT_EQ(split(""), "");
  EXPECT_EQ(split("/"), "");
  EXPECT_EQ(split("..a/b.."), "..a/b..");
}

TEST(MemberName, IsRefused) {
  for (const char* name : {"..", "../a", "a/../b", "a/..", "/.."})
    EXPECT_EQ(split(name), "layer_unsafe");
  EXPECT_EQ(split("1/2/3/4/5/6"), "layer_invalid");
  EXPECT_EQ(split(std::string(256, 'x')), "layer_invalid");
  EXPECT_EQ(split(std::string(255, 'x')), std::string(255, 'x'));
  EXPECT_EQ(split(std::string(5000, '/')), "layer_invalid");
}

TEST(MemberName, Whiteouts) {
  const auto kind = [](std::vector<std::string_view> components) {
    const Result<NameKind> result = classify_name(components);
    return result ? static_cast<int>(*result) : -1;
  };
  EXPECT_EQ(kind({"a", "b"}), static_cast<int>(NameKind::kPlain));
  EXPECT_EQ(kind({"a", ".wh.b"}), static_cast<int>(NameKind::kWhiteout));
  EXPECT_EQ(kind({".wh..wh..opq"}), static_cast<int>(NameKind::kOpaque));
  EXPECT_EQ(kind({".wh..wh.plnk", "1.2"}), static_cast<int>(NameKind::kSkipped));
  EXPECT_EQ(kind({"a", ".wh..wh.orph"}), static_cast<int>(NameKind::kSkipped));
  EXPECT_EQ(kind({".wh."}), -1);
  EXPECT_EQ(kind({".wh..."}), -1);
  EXPECT_EQ(kind({".wh.a", "b"}), -1);
}

}  // namespace
}  // namespace caisson::fetch
