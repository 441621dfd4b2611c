// TarWriter and TarReader: each other's, and GNU tar's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/subprocess.h"
#include "files/tar_reader.h"
#include "files/tar_writer.h"

namespace caisson::files {
namespace {

using Entry = std::pair<TarMember, std::string>;

Source source_of(const std::string& bytes, std::size_t piece = 1000) {
  return
      [&bytes, piece, at = std::size_t{0}](std::span<char> buffer) mutable -> Result<std::size_t> {
        const std::size_t n = std::min({buffer.size(), piece, bytes.size() - at});
        std::copy_n(bytes.data() + at, n, buffer.data());
        at += n;
        return n;
      };
}

std::string write(const std::vector<Entry>& entries) {
  std::string bytes;
  TarWriter tar([&](std::string_view piece) -> Result<> {
    bytes += piece;
    return {};
  });
  for (const auto& [member, content] : entries) EXPECT_TRUE(tar.add(member, content));
  EXPECT_TRUE(tar.finish());
  return bytes;
}

Result<std::vector<Entry>> read(const std::string& bytes, std::size_t piece = 1000) {
  TarReader tar(source_of(bytes, piece));
  std::vector<Entry> entries;
  TarMember member;
  while (TRY(tar.next(member))) {
    std::string content, buffer(77, '\0');
    while (const std::size_t n = TRY(tar.read(buffer))) content.append(buffer, 0, n);
    entries.emplace_back(member, content);
  }
  return entries;
}

std::string cause(const std::string& bytes) {
  const Result<std::vector<Entry>> entries = read(bytes);
  return entries ? "" : entries.error().reason;
}

TEST(Tar, ComesBackAsItWas) {
  const std::string content(100'000, 'x');
  const std::string long_name = "d/" + std::string(200, 'n') + "/" + std::string(180, '\xff');
  TarMember xattrs{.name = "attributes", .mode = 04755, .uid = 3'000'000'000, .gid = 7};
  xattrs.xattrs = {{"user.a", "1=2\n3"}, {"security.capability", std::string("\0\1", 2)}};
  const std::vector<Entry> entries = {
      {{.name = "d/", .type = TarType::kDirectory, .mode = 01777}, ""},
      {{.name = "d/f", .size = content.size(), .mtime = 5, .mtime_ns = 123456789}, content},
      {{.name = long_name, .size = 3}, "abc"},
      {{.name = "link", .type = TarType::kSymlink, .mode = 0777, .link = std::string(300, 'l')},
       ""},
      {{.name = "hard", .type = TarType::kHardLink, .link = long_name}, ""},
      {{.name = "null", .type = TarType::kCharDevice, .major = 1, .minor = 3}, ""},
      {{.name = "old", .mtime = -5, .mtime_ns = 250'000'000}, ""},
      {{.name = "older", .mtime = -1, .mtime_ns = 999'999'999}, ""},
      {xattrs, ""},
      {{.name = "fifo", .type = TarType::kFifo}, ""},
  };
  const std::string bytes = write(entries);
  EXPECT_EQ(bytes.size() % 512, 0u);
  for (const std::size_t piece : {1u, 511u, 512u, 100'000u})
    EXPECT_EQ(read(bytes, piece).value(), entries) << piece;
}

TEST(Tar, GnuTarReadsAndWritesIt) {
  std::string path = "/tmp/caisson-tar-XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  const std::string name(150, 'n');
  const std::string bytes = write({{{.name = "d/", .type = TarType::kDirectory, .mode = 0755}, ""},
                                   {{.name = "d/" + name, .size = 2, .mtime = 9}, "hi"}});
  ASSERT_TRUE(replace_file(open_fd(path, O_DIRECTORY).value().get(), "a.tar", bytes, 0600));
  const auto shell = [&](const std::string& line) {
    return ::system(
        ("cd " + path + " && " + line).c_str());  // NOLINT(concurrency-mt-unsafe,cert-env33-c)
  };
  EXPECT_EQ(shell("tar xf a.tar && test \"$(cat d/n*)\" = hi && test $(stat -c %Y d/n*) = 9"), 0);
  for (const char* format : {"gnu", "pax", "ustar", "v7"}) {
    const std::string wanted =
        std::string(format).starts_with("p") || std::string(format) == "gnu" ? name : "short";
    ASSERT_EQ(shell("rm -rf d; mkdir -p d; echo hello > d/" + wanted +
                    "; ln -s x d/s; tar -cf b.tar --format=" + format + " d"),
              0);
    const auto entries = read(read_file(path + "/b.tar").value()).value();
    ASSERT_EQ(entries.size(), 3u) << format;
    EXPECT_EQ(entries[0].first.type, TarType::kDirectory);
    bool found = false;
    for (const auto& [member, content] : entries)
      found = found || (member.name == "d/" + wanted && content == "hello\n");
    EXPECT_TRUE(found) << format;
  }
  EXPECT_EQ(shell("truncate -s 1M sparse; tar -Scf c.tar sparse"), 0);
  EXPECT_EQ(cause(read_file(path + "/c.tar").value()), "archive_unsupported");
  shell("rm -rf " + path);
}

TEST(Tar, WhatIsWrongIsAnError) {
  const std::string good = write({{{.name = "a", .size = 600}, std::string(600, 'x')}});
  EXPECT_EQ(cause(""), "");  // an empty one
  EXPECT_EQ(cause(std::string(1024, '\0')), "");
  for (const std::size_t length : {1u, 511u, 513u, 1000u, 1535u})
    EXPECT_EQ(cause(good.substr(0, length)), "archive_invalid") << length;
  std::string bad = good;
  bad[0] = 'b';
  EXPECT_EQ(cause(bad), "archive_invalid");
  EXPECT_EQ(cause(std::string(512, 'x')), "archive_invalid");
}

TEST(Tar, ExtendedHeadersAreBounded) {
  const auto with = [](std::string_view records, std::uint64_t size) {
    std::string bytes = write({{{.name = "x", .size = size}, std::string(records)}});
    bytes[156] = 'x';
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(bytes[i]);
    bytes.replace(148, 8, format("{:06o}", sum) + std::string("\0 ", 2));
    return bytes;
  };
  for (const char* records : {"6 a=\n", "99 path=x\n", "0 path=x\n", "10 pathxxx\n", "11 size=-1\n",
                              "12 mtime=x\n", "999999999999999999999 a=b\n"})
    EXPECT_EQ(cause(with(records, std::string_view(records).size())), "archive_invalid") << records;
}

}  // namespace
}  // namespace caisson::files
