#include "sys/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include <fstream>

#include "base/unit_test_support.h"
#include "sys/tree.h"

namespace caisson::sys {
namespace {

/// Runs in a child with a mount namespace of its own, as root only.
class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    std::filesystem::create_directories(test_ / "source/below");
    std::filesystem::create_directories(test_ / "target");
    std::ofstream(test_ / "source/file") << "x";
  }
  template <class F>
  void in_namespace(F checks) {
    EXPECT_EQ(run_in_child([&] {
                ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
                ASSERT_TRUE(make_private());
                checks();
              }),
              0);
  }
  Fd place(const std::string& name) const { return open_fd(test_ / name, O_PATH).value(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(test_ / name); }
  bool can_write(const std::string& name) const {
    return open_fd(test_ / name, O_WRONLY | O_CREAT, 0600).has_value();
  }
  static FsOptions small() { return {{"size", "65536"}, {"mode", "755"}}; }

  TestDirectory test_;
};

TEST_F(MountTest, NewFileSystemWithFlags) {
  in_namespace([this] {
    Fd mount = make_mount("tmpfs", small(), {.noexec = true}).value();
    ASSERT_TRUE(attach(mount.get(), place("target").get(), "target"));
    EXPECT_TRUE(can_write("target/file"));
    const std::string mounts = read_file("/proc/self/mountinfo").value();
    const auto at = mounts.find(test_ / "target");
    ASSERT_NE(at, std::string::npos);
    EXPECT_NE(mounts.substr(at).find("rw,nosuid,nodev,noexec"), std::string::npos);
  });
  EXPECT_FALSE(exists("target/file")) << "the mount stays in its namespace";
}

TEST_F(MountTest, ReadOnlyCopyOfATree) {
  in_namespace([this] {
    Fd copy = clone_mount(place("source").get(), "source").value();
    ASSERT_TRUE(set_flags(copy.get(), {.read_only = true}, "source"));
    ASSERT_TRUE(attach(copy.get(), place("target").get(), "target"));
    EXPECT_TRUE(exists("target/file"));
    EXPECT_FALSE(can_write("target/file"));
    EXPECT_TRUE(can_write("source/file"));
  });
}

TEST_F(MountTest, CopyWithAndWithoutWhatIsMountedBelow) {
  in_namespace([this] {
    Fd mount = make_mount("tmpfs", small(), {}).value();
    ASSERT_TRUE(attach(mount.get(), place("source/below").get(), "below"));
    ASSERT_TRUE(can_write("source/below/inner"));
    Fd whole = clone_mount(place("source").get(), "source").value();
    ASSERT_TRUE(attach(whole.get(), place("target").get(), "target"));
    EXPECT_TRUE(exists("target/below/inner"));
    Fd alone = clone_mount(place("source").get(), "source", Below::kExclude).value();
    ASSERT_TRUE(attach(alone.get(), place("target").get(), "target"));
    EXPECT_FALSE(exists("target/below/inner"));
    EXPECT_TRUE(exists("target/below"));
  });
}

TEST_F(MountTest, ChangeRootLeavesNothingOfTheOldOne) {
  in_namespace([this] {
    Fd root = make_mount("tmpfs", small(), {}).value();
    ASSERT_EQ(::mkdirat(root.get(), "inside", 0755), 0);
    ASSERT_TRUE(attach(root.get(), place("target").get(), "target"));
    const auto changed = change_root(root.get());
    ASSERT_TRUE(changed) << changed.error().message;
    ASSERT_TRUE(drop_old_root());
    EXPECT_EQ(::access("/inside", F_OK), 0);
    EXPECT_NE(::access("/proc", F_OK), 0);
    EXPECT_NE(::access("/../../etc/passwd", F_OK), 0);
  });
}

TEST_F(MountTest, ErrorsNameActionAndCause) {
  EXPECT_EQ(make_mount("no-such-fs", {}, {}).error().sys_errno, ENODEV);
  const auto option = make_mount("tmpfs", {{"no_such_option", "1"}}, {});
  ASSERT_FALSE(option);
  EXPECT_NE(option.error().message.find("set option no_such_option=1 of 'tmpfs'"),
            std::string::npos)
      << option.error().message;
  EXPECT_EQ(clone_mount(-1, "nothing").error().sys_errno, EBADF);
  EXPECT_EQ(attach(-1, -1, "/nowhere").error().message,
            "attach mount on '/nowhere': Bad file descriptor");
}

TEST_F(MountTest, RemovingATreeDoesNotEnterAMount) {
  in_namespace([this] {
    Fd mount = make_mount("tmpfs", small(), {}).value();
    ASSERT_TRUE(attach(mount.get(), place("source/below").get(), "below"));
    ASSERT_TRUE(can_write("source/below/kept"));
    EXPECT_FALSE(remove_tree(AT_FDCWD, test_ / "source"));
    EXPECT_TRUE(exists("source/below/kept"));
  });
}

}  // namespace
}  // namespace caisson::sys
