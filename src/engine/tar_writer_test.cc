#include "engine/tar_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/fd.h"
#include "base/sha256.h"
#include "base/subprocess.h"
#include "base/unit_test_support.h"

namespace caisson::engine {
namespace {

TEST(TarWriter, TarReadsIt) {
  const TestDirectory directory;
  const std::string blob = directory / "blob";
  {
    const Fd file = *open_fd(blob, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(write_all(file.get(), std::string(100'000, 'x'), blob));
  }
  const std::string path = directory / "a.tar";
  for (const int flags : {O_TRUNC, O_TRUNC | O_APPEND}) {
    const Fd out = *open_fd(path, O_WRONLY | O_CREAT | flags, 0600);
    const Fd file = *open_fd(blob, O_RDONLY);
    TarWriter tar(out.get(), path);
    ASSERT_TRUE(tar.add("oci-layout", "{}"));
    ASSERT_TRUE(tar.add("empty", ""));
    ASSERT_TRUE(tar.add_directory("blobs/"));
    ASSERT_TRUE(tar.add_directory("blobs/sha256/"));
    EXPECT_EQ(*tar.add_file("blobs/sha256/abc", file.get(), 100'000),
              sha256_hex(std::string(100'000, 'x')));
    ASSERT_TRUE(tar.finish());
    ASSERT_TRUE(run({"/usr/bin/tar", "-xf", path, "-C", directory.path()}));
    EXPECT_EQ(*read_file(directory / "oci-layout"), "{}");
    EXPECT_EQ(*read_file(directory / "empty"), "");
    EXPECT_EQ(*read_file(directory / "blobs/sha256/abc"), std::string(100'000, 'x'));
  }
  EXPECT_EQ(read_file(path)->size() % 512, 0u);
}

TEST(TarWriter, ABlobThatIsTooShortIsAnError) {
  const TestDirectory directory;
  const Fd out = *open_fd(directory / "a.tar", O_RDWR | O_CREAT, 0600);
  const Fd file = *open_fd(directory / "blob", O_RDWR | O_CREAT, 0600);
  TarWriter tar(out.get(), "a.tar");
  EXPECT_EQ(tar.add_file("m", file.get(), 10).error().reason, "blob_missing");
}

TEST(TarWriter, LongNamesAreRefused) {
  TarWriter tar(-1, "none");
  EXPECT_EQ(tar.add(std::string(101, 'a'), "").error().reason, "name_invalid");
}

TEST(TarWriter, MembersBeyondEightGibibytes) {
  const TestDirectory directory;
  const std::string path = directory / "a.tar";
  const Fd out = *open_fd(path, O_RDWR | O_CREAT, 0600);
  const Fd file = *open_fd(directory / "blob", O_RDWR | O_CREAT, 0600);
  TarWriter tar(out.get(), path);
  // The header is written before the blob turns out to be short.
  ASSERT_FALSE(tar.add_file("m", file.get(), 9ull << 30));
  const std::string header = *read_file(path);
  EXPECT_EQ(header.substr(124, 12), std::string("\x80\0\0\0\0\0\0\x02\x40\0\0\0", 12));
}

}  // namespace
}  // namespace caisson::engine
