#include "cli/tar_sniff.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace caisson::cli {
namespace {

using ::testing::HasSubstr;

std::string member(const std::string& name, const std::string& content) {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  std::array<char, 16> size{};
  std::snprintf(size.data(), size.size(), "%011zo", content.size());
  block.replace(124, 11, size.data(), 11);
  block.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%06o", sum);
  block.replace(148, 7, text.data(), 7);
  return block + content + std::string((512 - content.size() % 512) % 512, '\0');
}

const std::string kEnd(1024, '\0');

Result<ArchiveKind> sniff(const std::string& bytes) {
  const int fd = ::memfd_create("archive", MFD_CLOEXEC);
  EXPECT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  auto kind = sniff_archive(fd, "a.tar");
  ::close(fd);
  return kind;
}

TEST(SniffArchive, TellsThemApart) {
  const std::string layer = member("blobs/sha256/0", std::string(2000, 'x'));
  EXPECT_EQ(*sniff(layer + member("oci-layout", "{}") + kEnd), ArchiveKind::kOci);
  EXPECT_EQ(*sniff(layer + member("./oci-layout", "{}")), ArchiveKind::kOci);
  EXPECT_EQ(*sniff(member("manifest.json", "[]") + layer + kEnd), ArchiveKind::kDocker);
  EXPECT_EQ(*sniff(member("manifest.json", "[]") + layer + member("oci-layout", "{}") + kEnd),
            ArchiveKind::kOci)
      << "what docker writes today is both";
}

TEST(SniffArchive, WhatIsNone) {
  for (const std::string& bytes :
       {std::string(), std::string("\x1f\x8b\x08 compressed"), std::string(5000, 'x'),
        member("etc/passwd", "x") + kEnd, member("a/manifest.json", "[]") + kEnd}) {
    auto kind = sniff(bytes);
    ASSERT_FALSE(kind);
    EXPECT_EQ(kind.error().reason, "archive_unknown");
    EXPECT_THAT(kind.error().message, HasSubstr("look into archive 'a.tar': it"));
  }
}

TEST(SniffArchive, HostileSizesEnd) {
  std::string huge = member("x", "");
  huge[124] = '\x80';
  huge.replace(125, 11, 11, '\xff');
  EXPECT_FALSE(sniff(huge));
  std::string wrong = member("x", "abc");
  wrong[0] = 'y';  // the sum is another one now
  EXPECT_FALSE(sniff(wrong));
  EXPECT_FALSE(sniff(member("a", "abc").substr(0, 300)));
}

}  // namespace
}  // namespace caisson::cli
