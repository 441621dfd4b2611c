#include "fetch/archive_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/unit_test_support.h"

namespace caisson::fetch {
namespace {

/// A tar header and its bytes, padded.
std::string member(std::string name, std::string_view data, char type = '0',
                   std::string_view link = "") {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view text) {
    std::memcpy(header.data() + at, text.data(), text.size());
  };
  put(0, name);
  put(124, format("{:011o}", data.size()));
  header[156] = type;
  put(157, link);
  put(257, std::string_view("ustar\0"
                            "00",
                            8));
  put(148, "        ");
  unsigned sum = 0;
  for (char c : header) sum += static_cast<unsigned char>(c);
  put(148, format("{:06o}", sum) + std::string("\0 ", 2));
  std::string padded(data);
  padded.resize((data.size() + 511) / 512 * 512);
  return header + padded;
}

Result<std::map<std::string, Member>> index(const std::string& bytes) {
  const TestDirectory dir;
  const Fd file = open_fd(dir / "a.tar", O_RDWR | O_CREAT, 0600).value();
  EXPECT_TRUE(write_all(file.get(), bytes, "a.tar"));
  return index_archive(file.get(), "a.tar");
}

TEST(ArchiveIndex, says_where_members_are) {
  const auto found = index(member("./a/b", "hello") + member("c", "xy") + std::string(1024, '\0'));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->at("a/b").offset, 512u);
  EXPECT_EQ(found->at("a/b").size, 5u);
  EXPECT_EQ(found->at("c").offset, 512u + 512 + 512);
}

TEST(ArchiveIndex, long_names_and_links) {
  const std::string name(150, 'n');
  const auto found = index(member("pax", format("{} path={}\n", name.size() + 10, name), 'x') +
                           member("short", "1") + member("././@LongLink", name + "2", 'L') +
                           member("short", "2") + member("d/l", "", '2', "../c"));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->at(name).size, 1u);
  EXPECT_EQ(found->at(name + "2").size, 1u);
  EXPECT_EQ(found->at("d/l").link, "c");
}

TEST(ArchiveIndex, a_pax_size_is_of_the_member_and_not_of_another_header) {
  const std::string name(150, 'n');
  const auto found =
      index(member("pax", "12 size=600\n", 'x') + member("././@LongLink", name, 'L') +
            member("short", std::string(600, 's')) + member("after", "1"));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->at(name).size, 600u);
  EXPECT_EQ(found->at("after").size, 1u);
}

TEST(ArchiveIndex, what_is_no_archive_is_refused) {
  EXPECT_FALSE(index(""));
  EXPECT_FALSE(index(std::string(1024, '\0')));
  EXPECT_FALSE(index(std::string(1024, 'x')));
  EXPECT_FALSE(index(member("a", std::string(2000, 'a')).substr(0, 1024)));  // cut
  std::string huge = member("a", "");
  std::memcpy(huge.data() + 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  EXPECT_FALSE(index(huge));
  const auto packed = index("\x1f\x8b" + std::string(600, 'x'));
  ASSERT_FALSE(packed);
  EXPECT_NE(packed.error().message.find("gzip"), std::string::npos);
}

}  // namespace
}  // namespace caisson::fetch
