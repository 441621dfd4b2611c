#include "fetch/seal.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <thread>

#include "fetch/unpack_test_support.h"
#include "sys/landlock.h"
#include "sys/userns.h"

namespace caisson::fetch {
namespace {

int error_of(long result) { return result < 0 ? errno : 0; }

class Seal : public LayerTest {
 protected:
  void SetUp() override {
    if (!sys::landlock_abi() || *sys::landlock_abi() < 2) GTEST_SKIP() << "needs Landlock, ABI 2";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(replace_file(AT_FDCWD, dir_ / "canary", "untouched", 0600));
    ASSERT_EQ(::mkdir((dir_ / "layers/lower").c_str(), 0700), 0);
    ASSERT_TRUE(replace_file(AT_FDCWD, dir_ / "layers/lower/f", "lower", 0600));
  }
  /// In the child: the seal of an unpacker around `job`.
  static Result<> seal(UnpackJob& job, std::vector<int> keep = {}) {
    keep.push_back(STDOUT_FILENO);
    keep.push_back(job.blob.get());
    return seal_unpacker({.nobody = job.nobody,
                          .own = &job.own,
                          .own_name = std::string(spec::hex_of(job.chain_id)),
                          .staging = &job.staging,
                          .layers = &job.layers_dir,
                          .keep = keep});
  }
};

TEST_F(Seal, TheTreeIsAllThatCanBeReached) {
  UnpackJob job = this->job("", "");
  Fd outside = std::move(*open_fd(dir_.path(), O_RDONLY | O_DIRECTORY));
  const std::string canary = dir_ / "canary";
  const int status = run_in_child([&] {
    ASSERT_TRUE(seal(job));
    const int own = job.own.get(), layers = job.layers_dir.get();
    EXPECT_EQ(error_of(::fcntl(outside.get(), F_GETFD)), EBADF);
    for (const int dir : {own, layers, job.staging.get(), AT_FDCWD})
      EXPECT_EQ(error_of(::openat(dir, "../../../../../../etc/passwd", O_PATH)), ENOENT) << dir;
    EXPECT_EQ(error_of(::open(canary.c_str(), O_PATH)), ENOENT);
    EXPECT_EQ(error_of(::open("/etc/passwd", O_PATH)), ENOENT);
    EXPECT_EQ(error_of(::fchmodat(layers, "lower/f", 0666, 0)), EROFS);
    EXPECT_EQ(error_of(::fchownat(layers, "lower/f", 1, 1, 0)), EROFS);
    EXPECT_EQ(error_of(::openat(layers, "lower/f", O_WRONLY)), EROFS);
    EXPECT_EQ(error_of(::unlinkat(layers, "lower/f", 0)), EROFS);
    char text[8] = {};
    Fd lower{::openat(layers, "lower/f", O_RDONLY)};
    EXPECT_EQ(::read(lower.get(), text, 5), 5);
    Fd made{::openat(own, "new", O_WRONLY | O_CREAT | O_EXCL, 0600)};
    EXPECT_TRUE(made);
    struct stat st{};
    EXPECT_EQ(::fstat(made.get(), &st), 0);
    EXPECT_EQ(st.st_uid, 0u);
    EXPECT_EQ(error_of(::fchownat(own, "new", 5, 6, 0)), 0);
    EXPECT_EQ(error_of(::mknodat(own, "null", S_IFCHR | 0666, 0x103)), 0);
    EXPECT_EQ(error_of(::openat(own, "null", O_RDONLY)), EACCES);  // nodev
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(*read_file(canary), "untouched");
}

TEST_F(Seal, NoWayToOtherPrograms) {
  UnpackJob job = this->job("", "");
  const int status = run_in_child([&] {
    ASSERT_TRUE(seal(job));
    EXPECT_EQ(::getuid(), 65534u);
    EXPECT_EQ(::geteuid(), 65534u);
    EXPECT_EQ(error_of(::fork()), EPERM);
    char* none[] = {nullptr};
    EXPECT_EQ(error_of(::execve("/new", none, none)), EPERM);
    EXPECT_EQ(error_of(::socket(AF_INET, SOCK_STREAM, 0)), EPERM);
    EXPECT_EQ(error_of(::socket(AF_UNIX, SOCK_STREAM, 0)), EPERM);
    EXPECT_EQ(error_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)), EPERM);
    EXPECT_EQ(error_of(::unshare(CLONE_NEWUSER)), EPERM);
    EXPECT_EQ(error_of(::kill(::getppid(), 0)), EPERM);
    EXPECT_EQ(error_of(::syscall(SYS_setresuid, 0, 0, 0)), EPERM);
    EXPECT_EQ(error_of(::chroot(".")), EPERM);
    EXPECT_EQ(error_of(::syscall(SYS_io_uring_setup, 1, nullptr)), EPERM);
    EXPECT_EQ(error_of(::syscall(SYS_bpf, 0, nullptr, 0)), EPERM);
    bool ran = false;
    std::thread([&] { ran = true; }).join();
    EXPECT_TRUE(ran);
  });
  EXPECT_EQ(status, 0);
}

TEST_F(Seal, ASourceReachesNoSocketOfTheHost) {
  for (const bool network : {true, false}) {
    const int status = run_in_child([&] {
      ASSERT_TRUE(seal_source({.nobody = true, .network = network}));
      EXPECT_EQ(error_of(::socket(AF_UNIX, SOCK_STREAM, 0)), EPERM);
      EXPECT_EQ(error_of(::socket(AF_VSOCK, SOCK_STREAM, 0)), EPERM);
      EXPECT_EQ(error_of(::socket(AF_INET, SOCK_STREAM, 0)), network ? 0 : EPERM);
      int pair[2];
      EXPECT_EQ(error_of(::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)), EPERM);
      EXPECT_EQ(error_of(::open("/etc/ssl/certs", O_RDONLY)), network ? 0 : EACCES);
    });
    EXPECT_EQ(status, 0);
  }
}

/// A layer with something of everything.
Tar everything() {
  Tar tar;
  tar.dir("./").dir("d", 02755).file("d/f", "content", 04755).symlink("s", "d/f").link("h", "d/f");
  tar.add({.name = "o",
           .content = "x",
           .link = {},
           .uid = "1000",
           .gid = "33",
           .pax = {{"SCHILY.xattr.user.a", "b"}}});
  tar.add({.name = "null",
           .type = '3',
           .content = {},
           .link = {},
           .mode = 0666,
           .major = 1,
           .minor = 3,
           .pax = {}});
  tar.file(".wh.gone", "").file("q/.wh..wh..opq", "").link("lower", "below/f");
  return tar;
}

TEST_F(Seal, LayersAreUnpackedInside) {
  ASSERT_TRUE(unpack(Tar().file("below/f", "below").file("gone", "")));
  const std::string tar = everything().bytes();
  UnpackJob job = this->job(tar, tar);
  const int status = run_in_child([&] {
    ASSERT_TRUE(seal(job));
    const UnpackHooks hooks{.progress = {}, .wait_for_parents = [] { return Result<>(); }};
    const Result<image::LayerReady> ready = unpack_layer(job, hooks);
    EXPECT_TRUE(ready) << ready.error().message;
  });
  ASSERT_EQ(status, 0);
  ASSERT_EQ(::rename((dir_ / "staging/" + hex(count_)).c_str(), tree(count_).c_str()), 0);
  ++count_;
  EXPECT_EQ(stat_of("d").st_mode & 07777, 02755u);
  EXPECT_EQ(stat_of("d/f").st_mode & 07777, 04755u);
  EXPECT_EQ(stat_of("d/f").st_uid, 0u);
  EXPECT_EQ(stat_of("h").st_ino, stat_of("d/f").st_ino);
  EXPECT_EQ(stat_of("o").st_uid, 1000u);
  EXPECT_TRUE(S_ISCHR(stat_of("null").st_mode));
  EXPECT_TRUE(is_whiteout("gone"));
  EXPECT_EQ(content("lower"), "below");
}

/// What the supervisor of an ordinary user is: root of a namespace with the user's own id only.
void become_user_with_one_id() {
  ASSERT_EQ(::setgid(12345), 0);
  ASSERT_EQ(::setuid(12345), 0);
  ::prctl(PR_SET_DUMPABLE, 1);  // a change of ids makes /proc/self root's
  const Result<> entered = sys::enter_outer_namespace({}, {});
  ASSERT_TRUE(entered) << entered.error().message;
}

TEST_F(Seal, AnOrdinaryUsersLayer) {
  const std::string tar = everything().bytes();
  ASSERT_TRUE(unpack(Tar().file("below/f", "below").file("gone", "")));
  ASSERT_EQ(::system(format("chown -R 12345:12345 {}", dir_.path()).c_str()), 0);
  UnpackJob job = this->job(tar, tar);
  ASSERT_EQ(::system(format("chown -R 12345:12345 {}", dir_.path()).c_str()), 0);
  job.nobody = false;
  job.one_id = true;
  const int status = run_in_child([&] {
    become_user_with_one_id();
    const Result<> sealed = seal(job);
    ASSERT_TRUE(sealed) << sealed.error().message;
    EXPECT_EQ(error_of(::socket(AF_INET, SOCK_STREAM, 0)), EPERM);
    const UnpackHooks hooks{.progress = {}, .wait_for_parents = [] { return Result<>(); }};
    const Result<image::LayerReady> ready = unpack_layer(job, hooks);
    EXPECT_TRUE(ready) << ready.error().message;
  });
  ASSERT_EQ(status, 0);
  ASSERT_EQ(::rename((dir_ / "staging/" + hex(count_)).c_str(), tree(count_).c_str()), 0);
  ++count_;
  EXPECT_EQ(stat_of("d/f").st_uid, 12345u);
  EXPECT_EQ(xattr("o", kOverrideXattr), "1000:33:0644");
  EXPECT_EQ(xattr("null", kOverrideXattr), "0:0:0666:char-1-3");
  EXPECT_TRUE(is_whiteout("gone"));
  EXPECT_EQ(content("lower"), "below");
}

TEST_F(Seal, TheSourceWritesWhereItMayAndNowhereElse) {
  ASSERT_EQ(::chmod((dir_ / "staging").c_str(), 0777), 0);
  const int status = run_in_child([&] {
    Fd partial = std::move(*open_fd(dir_ / "staging", O_RDONLY | O_DIRECTORY));
    Fd layers = std::move(*open_fd(dir_ / "layers", O_RDONLY | O_DIRECTORY));
    const Result<> sealed = seal_source({.nobody = true,
                                         .read = {layers.get()},
                                         .read_write = {partial.get()},
                                         .keep = {1, partial.get(), layers.get()}});
    ASSERT_TRUE(sealed) << sealed.error().message;
    EXPECT_EQ(::getuid(), 65534u);
    EXPECT_TRUE(open_at(partial.get(), "new", O_RDWR | O_CREAT, 0644));
    EXPECT_TRUE(open_fd("/etc/hosts", O_RDONLY));
    EXPECT_EQ(error_of(::open("/etc/passwd", O_RDONLY)), EACCES);
    EXPECT_EQ(error_of(::open("/proc/self/environ", O_RDONLY)), EACCES);
    EXPECT_EQ(error_of(::open((dir_ / "layers/x").c_str(), O_WRONLY | O_CREAT, 0600)), EACCES);
    EXPECT_EQ(error_of(::fork()), EPERM);
    EXPECT_EQ(error_of(::fchmod(partial.get(), 0700)), EPERM);
    Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    EXPECT_TRUE(socket);
    bool ran = false;
    std::thread([&] { ran = true; }).join();
    EXPECT_TRUE(ran);
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace caisson::fetch
