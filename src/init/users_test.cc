#include "init/users.h"

#include <gtest/gtest.h>

namespace caisson::init {
namespace {

using Ids = std::vector<std::uint32_t>;

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "web:x:33:44:,,,:/var/www:/bin/sh\n"
    "twin:x:33:55::/twin:\n"
    "nohome:x:40:40\n"
    "relative:x:41:41::home/x:\n";
constexpr std::string_view kGroup =
    "root:x:0:\nvideo:x:44:web,root\naudio:x:29:web\nwheel:x:10:root,web,daemon\nempty:x:60:\n";

User user(std::string_view spec, const std::vector<std::string>& groups = {},
          std::string_view passwd = kPasswd, std::string_view group = kGroup) {
  const Result<User> found = resolve_user(spec, groups, passwd, group);
  EXPECT_TRUE(found) << spec << ": " << (found ? "" : found.error().message);
  return found.value_or(User{.uid = 424242});
}

void unknown(std::string_view spec, std::string_view passwd = kPasswd,
             std::string_view group = kGroup, const std::vector<std::string>& groups = {}) {
  const Result<User> found = resolve_user(spec, groups, passwd, group);
  ASSERT_FALSE(found) << spec;
  EXPECT_EQ(found.error().reason, "user_unknown") << spec;
  EXPECT_EQ(found.error().code, Code::kNotFound) << spec;
}

TEST(Users, NoneIsRoot) {
  EXPECT_EQ(user(""), (User{0, 0, {10, 44}, "/root"}));
  EXPECT_EQ(user("", {}, "", ""), (User{0, 0, {}, "/root"}));
}

TEST(Users, ByNameWithMemberships) {
  EXPECT_EQ(user("web"), (User{33, 44, {10, 29, 44}, "/var/www"}));
  EXPECT_EQ(user("daemon"), (User{1, 1, {10}, "/usr/sbin"}));
}

TEST(Users, ANamedGroupReplacesTheMemberships) {
  EXPECT_EQ(user("web:audio"), (User{33, 29, {}, "/var/www"}));
  EXPECT_EQ(user("web:99"), (User{33, 99, {}, "/var/www"}));
  EXPECT_EQ(user("web:0"), (User{33, 0, {}, "/var/www"}));
}

TEST(Users, ByNumber) {
  EXPECT_EQ(user("33"), user("web")) << "the first entry with the id";
  EXPECT_EQ(user("1234"), (User{1234, 0, {}, "/"}));
  EXPECT_EQ(user("1234:5678"), (User{1234, 5678, {}, "/"}));
  EXPECT_EQ(user("65535", {}, "", ""), (User{65535, 0, {}, "/"}));
}

TEST(Users, SupplementaryGroups) {
  EXPECT_EQ(user("1234", {"audio", "7", "video", "7"}).groups, (Ids{7, 29, 44}));
  EXPECT_EQ(user("web", {"empty"}).groups, (Ids{10, 29, 44, 60}));
  unknown("web", kPasswd, kGroup, {"nosuch"});
  unknown("web", kPasswd, kGroup, {""});
}

TEST(Users, HomesAreAbsolute) {
  EXPECT_EQ(user("nohome").home, "/");
  EXPECT_EQ(user("relative").home, "/");
}

TEST(Users, UnknownNames) {
  for (const char* spec : {"nosuch", "we", "webb", "web:nosuch", ":", ":0", "web:", "33:x", " web",
                           "+33", "-1", "0x10", "1e3", "33 ", "4294967295", "4294967296",
                           "99999999999999999999", "0:4294967295", "0:-1"})
    unknown(spec);
  unknown("web", "", "");
}

TEST(Users, LeadingZerosAreStillTheNumber) {
  EXPECT_EQ(user("000033").uid, 33u);
  EXPECT_EQ(user("00").uid, 0u);
}

TEST(Users, HostileLines) {
  constexpr std::string_view kHostile =
      "\n:::\n::0:0::/:\nroot\nweb:x\nweb:x:\nweb:x:33\n"
      "huge:x:99999999999:0::/:\nunchanged:x:4294967295:4294967295::/:\n"
      "nogid:x:5:none::/:\nminus:x:-1:0::/:\nsign:x:+5:0::/:\n"
      "space:x: 5:0::/:\nweb:x:7:8::/home/a:b:c:d:e\nweb:x:0:0::/root:";
  EXPECT_EQ(user("web", {}, kHostile, ""), (User{7, 8, {}, "/home/a"}))
      << "the first that is whole";
  for (const char* name : {"huge", "unchanged", "nogid", "minus", "sign", "space"})
    unknown(name, kHostile, "");
}

TEST(Users, ANameOfDigitsDoesNotTakeANumber) {
  EXPECT_EQ(user("1000", {}, "1000:x:0:0::/root:\n", "").uid, 1000u);
  EXPECT_EQ(user("1000:20", {}, "", "20:x:0:\n").gid, 20u);
  EXPECT_EQ(user("5", {"20"}, "", "20:x:0:\nreal:x:20:\n").groups, Ids{20});
}

TEST(Users, HostileGroups) {
  constexpr std::string_view kHostile =
      "a:x:4294967295:web\nb:x:-5:web\nc:x:99999999999:web\nd:x:5\ne:x:6:web,web\n:x:7:web\nf:x:8:";
  EXPECT_EQ(user("web", {}, kPasswd, kHostile).groups, (Ids{6, 7}));
  for (const char* name : {"0:a", "0:b", "0:c", "0:d"}) unknown(name, kPasswd, kHostile);
  EXPECT_EQ(user("", {}, "", "x:x:9:\n").groups, Ids{}) << "an empty member is nobody";
}

TEST(Users, LargeFilesAndNulBytes) {
  std::string passwd(1u << 20, ':');
  passwd += "\nweb:x:3:3::/:\n";
  EXPECT_EQ(user("web", {}, passwd, passwd).uid, 3u);
  EXPECT_EQ(user("web", {}, std::string("a\0b:x:1:1::/:\nweb:x:3:3::/:", 28), "").uid, 3u);
}

}  // namespace
}  // namespace caisson::init
