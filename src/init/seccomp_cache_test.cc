#include "init/seccomp_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "init/seccomp.h"

namespace caisson::init {
namespace {

class SeccompCache : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/caisson-seccomp-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    root_ = pattern;
    cache_ = root_ + "/seccomp";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  Result<std::string> get(std::string_view key) {
    return compiled_policy(cache_, key, [&] {
      ++compiled_;
      return sys::compile_seccomp({.rules = {{"read", {SeccompAction::kAllow, 0}, {}}}});
    });
  }
  std::string file(std::string_view key) const { return cache_ + "/" + seccomp_cache_name(key); }
  void write(std::string_view key, std::string_view data) {
    const Fd fd = open_fd(file(key), O_WRONLY | O_CREAT | O_TRUNC, 0600).value();
    ASSERT_TRUE(write_all(fd.get(), data, "test"));
  }

  std::string root_, cache_;
  int compiled_ = 0;
};

TEST_F(SeccompCache, SecondTimeIsRead) {
  const std::string first = get("a").value();
  EXPECT_EQ(get("a").value(), first);
  EXPECT_EQ(compiled_, 1);
  struct stat status;
  ASSERT_EQ(::stat(file("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(SeccompCache, KeysHaveTheirOwnFiles) {
  static_cast<void>(get("a").value());
  static_cast<void>(get("b").value());
  EXPECT_EQ(compiled_, 2);
  EXPECT_NE(seccomp_cache_name("a"), seccomp_cache_name("b"));
  EXPECT_EQ(seccomp_cache_name("a").size(), 64u + 4);
}

TEST_F(SeccompCache, DamagedFilesAreCompiledAgain) {
  const std::string program = get("a").value();
  const std::string whole = read_file(file("a")).value();
  std::string flipped = whole;
  flipped[8] = static_cast<char>(flipped[8] ^ 1);
  const std::string damaged[] = {"",
                                 "x",
                                 std::string(16, '\0'),
                                 whole.substr(0, whole.size() - 8),
                                 whole.substr(0, whole.size() - 1),
                                 flipped,
                                 std::string(200000, '\0')};
  for (const std::string& data : damaged) {
    write("a", data);
    compiled_ = 0;
    EXPECT_EQ(get("a").value(), program);
    EXPECT_EQ(compiled_, 1) << data.size();
    EXPECT_EQ(read_file(file("a")).value(), whole) << "repaired";
  }
}

TEST_F(SeccompCache, FilesThatOthersCanWriteAreNotTrusted) {
  static_cast<void>(get("a").value());
  ASSERT_EQ(::chmod(file("a").c_str(), 0620), 0);
  static_cast<void>(get("a").value());
  EXPECT_EQ(compiled_, 2);
  ASSERT_EQ(::rename(file("a").c_str(), (root_ + "/elsewhere").c_str()), 0);
  ASSERT_EQ(::symlink((root_ + "/elsewhere").c_str(), file("a").c_str()), 0);
  static_cast<void>(get("a").value());
  EXPECT_EQ(compiled_, 3) << "links are not followed";
}

TEST_F(SeccompCache, FilesOfOthersAreNotTrusted) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give a file away";
  static_cast<void>(get("a").value());
  ASSERT_EQ(::chown(file("a").c_str(), 65534, 65534), 0);
  static_cast<void>(get("a").value());
  EXPECT_EQ(compiled_, 2);
}

TEST_F(SeccompCache, WorksWithoutADirectory) {
  cache_ = root_ + "/no/such/parent";
  EXPECT_FALSE(get("a").value().empty());
  cache_.clear();
  EXPECT_FALSE(get("a").value().empty());
  EXPECT_EQ(compiled_, 2);
}

TEST_F(SeccompCache, WholePathWithProfilesAndPolicies) {
  BoxSpec spec;
  const std::string standard = seccomp_program(spec, {"CAP_SYS_CHROOT"}, cache_).value();
  EXPECT_EQ(seccomp_program(spec, {"CAP_SYS_CHROOT"}, cache_).value(), standard);
  EXPECT_NE(seccomp_program(spec, {}, cache_).value(), standard);
  spec.security.seccomp = SeccompMode::kCustom;
  spec.security.seccomp_policy = R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
      {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_CHOWN"]}}]})";
  const std::string plain = seccomp_program(spec, {}, cache_).value();
  EXPECT_NE(seccomp_program(spec, {"CAP_CHOWN"}, cache_).value(), plain);
  EXPECT_EQ(seccomp_program(spec, {}, cache_).value(), plain);
}

}  // namespace
}  // namespace caisson::init
