// The filters in the running kernel: a child installs one and makes one call.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "init/seccomp.h"

namespace caisson::init {
namespace {

constexpr int kNotInstalled = 255;

/// How a child ends that installs `program` (when there is one) and exits with `call()`.
template <class Call>
int ending_of(const std::string& program, Call call) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!program.empty()) {
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      if (sys::install_seccomp(program.data(), program.size() / 8) != 0) ::_exit(kNotInstalled);
    }
    ::_exit(call());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

/// The errno of a system call, 0 when it worked.
template <class... Arguments>
int error_of(long number, Arguments... arguments) {
  return ::syscall(number, arguments...) < 0 ? errno : 0;
}

std::string standard_program() { return seccomp_program(BoxSpec{}, {}, "").value(); }

#define EXPECT_EXIT_STATUS(status, code)                          \
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == (code)) \
      << "status " << (status) << ", wanted exit " << (code)

template <class Call>
void expect_errno(int wanted, Call call) {
  const int status = ending_of(standard_program(), call);
  EXPECT_EXIT_STATUS(status, wanted);
}

void expect_killed(int status) {
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << "status " << status;
}

int getpid_of_i386() {
  long result;
  asm volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
  return result > 0 ? 0 : 1;
}

TEST(SeccompKernel, NamespacesAreRefused) {
  expect_errno(EPERM, [] { return error_of(SYS_unshare, CLONE_NEWUSER); });
  expect_errno(EPERM, [] { return error_of(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); });
  expect_errno(EPERM, [] { return error_of(SYS_setns, -1, 0); });
}

TEST(SeccompKernel, Clone3IsAbsentAndThreadsWork) {
  expect_errno(ENOSYS, [] { return error_of(SYS_clone3, nullptr, 0); });
  expect_errno(7, [] {
    int seen = 0;
    std::thread([&] { seen = 7; }).join();
    return seen;
  });
}

TEST(SeccompKernel, UnknownCallsAreAbsent) {
  expect_errno(ENOSYS, [] { return error_of(400); });
  expect_errno(ENOSYS, [] { return error_of(-1); });
  expect_errno(ENOSYS, [] { return error_of(2000); });
}

TEST(SeccompKernel, DangerousCallsAreRefused) {
  for (const long number :
       {SYS_mount, SYS_bpf, SYS_keyctl, SYS_userfaultfd, SYS_io_uring_setup, SYS_perf_event_open,
        SYS_ptrace, SYS_process_vm_readv, SYS_open_by_handle_at, SYS_kexec_load, SYS_init_module,
        SYS_reboot, SYS_pidfd_getfd, SYS_fsopen, SYS_open_tree, SYS_chroot})
    expect_errno(EPERM, [number] { return error_of(number, 0, 0, 0, 0, 0); });
}

TEST(SeccompKernel, SocketFamilies) {
  for (int family = 0; family <= 45; ++family) {
    const bool allowed =
        family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
    if (!allowed)
      expect_errno(EAFNOSUPPORT, [family] { return error_of(SYS_socket, family, SOCK_DGRAM, 0); });
  }
  expect_errno(0, [] { return error_of(SYS_socket, AF_UNIX, SOCK_STREAM, 0); });
  expect_errno(0, [] { return error_of(SYS_socket, AF_INET, SOCK_STREAM, 0); });
  expect_errno(0, [] { return error_of(SYS_socket, AF_NETLINK, SOCK_RAW, 0); });
  expect_errno(EPERM, [] { return error_of(SYS_socket, AF_INET, SOCK_RAW, 1); });
  expect_errno(EPROTONOSUPPORT, [] { return error_of(SYS_socket, AF_NETLINK, SOCK_RAW, 12); });
  expect_errno(EPROTONOSUPPORT, [] { return error_of(SYS_socket, AF_INET, SOCK_STREAM, 132); });
  expect_errno(0, [] {
    int pair[2];
    return error_of(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
  });
}

TEST(SeccompKernel, TerminalInjectionIsRefusedWithAnyUpperBits) {
  for (const unsigned long upper : {0ul, 1ul << 32, ~0ul << 32}) {
    expect_errno(EPERM, [upper] { return error_of(SYS_ioctl, -1, upper | TIOCSTI, ""); });
    expect_errno(EPERM, [upper] { return error_of(SYS_ioctl, -1, upper | TIOCLINUX, ""); });
  }
  expect_errno(EBADF, [] { return error_of(SYS_ioctl, -1, TCGETS, nullptr); });
}

TEST(SeccompKernel, X32IsKilled) {
  expect_killed(ending_of(standard_program(), [] { return error_of(0x40000000 | SYS_getpid); }));
}

TEST(SeccompKernel, I386IsKilled) {
  const int without = ending_of("", getpid_of_i386);
  if (!WIFEXITED(without) || WEXITSTATUS(without) != 0)
    GTEST_SKIP() << "this kernel has no 32-bit calls (CONFIG_IA32_EMULATION)";
  expect_killed(ending_of(standard_program(), getpid_of_i386));
}

TEST(SeccompKernel, AllProfilesInstall) {
  for (const Profile profile : {Profile::kMinimal, Profile::kStandard, Profile::kFull}) {
    BoxSpec spec;
    spec.profile = profile;
    const std::string program = seccomp_program(spec, {}, "").value();
    const int status = ending_of(program, [] { return ::getpid() > 0 ? 3 : 4; });
    EXPECT_EXIT_STATUS(status, 3);
  }
}

TEST(SeccompKernel, InstallReportsErrno) {
  EXPECT_EXIT_STATUS(ending_of("", [] { return sys::install_seccomp("", 0); }), EINVAL);
}

}  // namespace
}  // namespace caisson::init
