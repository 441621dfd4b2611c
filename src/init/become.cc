// The forked child, from fork to exec: one straight function over prepared data. No allocation, no
// lock, no library state; every failure is reported as a step and an errno.
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "init/exec_block.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"
#include "trial/attack.h"

namespace caisson::init {
namespace {

class Child final {
 public:
  Child(const ExecContext& context, int status) noexcept : context_(context), status_(status) {}

  [[noreturn]] void run(int block, int in, int out, int err) noexcept {
    load(block);
    session(in, out, err);
    limits();
    credentials();
    if (header_->no_new_privileges) seccomp();
    if (header_->serves_files) serve();
    if (header_->attacks != 0) attack();
    execute();
  }

 private:
  [[noreturn]] void fail(ExecStep step, int error) const noexcept {
    const ExecFailure failure{step, error};
    [[maybe_unused]] const ssize_t n = ::write(status_, &failure, sizeof failure);
    ::_exit(127);
  }
  void check(bool good, ExecStep step) const noexcept {
    if (!good) fail(step, errno);
  }
  template <class T>
  T* at(std::uint64_t offset) const noexcept {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(header_) + offset);
  }
  /// Turns an array of offsets into an array of pointers, in place.
  char** pointers(std::uint64_t offset) const noexcept {
    char** words = at<char*>(offset);
    for (char** w = words; *w != nullptr; ++w) *w = at<char>(reinterpret_cast<std::uintptr_t>(*w));
    return words;
  }

  void load(int block) noexcept {
    struct stat info{};
    check(::fstat(block, &info) == 0, ExecStep::kReceive);
    void* memory = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE, block, 0);
    check(memory != MAP_FAILED, ExecStep::kReceive);
    header_ = static_cast<ExecHeader*>(memory);
  }

  void session(int in, int out, int err) noexcept {
    check(::setsid() >= 0, ExecStep::kSession);
    check(::dup2(in, 0) == 0 && ::dup2(out, 1) == 1 && ::dup2(err, 2) == 2, ExecStep::kStdio);
    if (header_->terminal) check(::ioctl(0, TIOCSCTTY, 0) == 0, ExecStep::kSession);
    check(::syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0, ExecStep::kStdio);
    if (header_->leaks != 0) check(::dup(0) >= 0, ExecStep::kStdio);
    // exec resets handlers, but not what is ignored; the shim ignores some.
    struct sigaction defaults{};
    defaults.sa_handler = SIG_DFL;
    for (int s = 1; s < NSIG; ++s) ::sigaction(s, &defaults, nullptr);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(022);
  }

  void limits() noexcept {
    const auto* entry = at<LimitEntry>(header_->limits);
    for (std::uint64_t i = 0; i < header_->limit_count; ++i, ++entry) {
      const rlimit limit{entry->soft, entry->hard};
      check(::setrlimit(static_cast<__rlimit_resource>(entry->resource), &limit) == 0,
            ExecStep::kLimits);
    }
  }

  void credentials() noexcept {
    if (header_->own_ids) return keep_ids();
    // Init has no capability at all, but its effective id owns the inner namespace, which by
    // user_namespaces(7) gives it every capability there; joining turns that into a real set.
    check(::setns(context_.userns, CLONE_NEWUSER) == 0, ExecStep::kUserNamespace);
    int err = sys::drop_bounding(header_->bounding);
    if (err != 0) fail(ExecStep::kBounding, err);
    // Without no_new_privs the filter needs CAP_SYS_ADMIN, which is there only now.
    if (!header_->no_new_privileges) seccomp();
    if (header_->set_groups)
      check(::syscall(SYS_setgroups, header_->group_count, at<std::uint32_t>(header_->groups)) == 0,
            ExecStep::kGroups);
    // The sets are chosen below; a change of uid must not choose them first.
    check(::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0, ExecStep::kIds);
    check(::syscall(SYS_setresgid, header_->gid, header_->gid, header_->gid) == 0, ExecStep::kIds);
    check(::syscall(SYS_setresuid, header_->uid, header_->uid, header_->uid) == 0, ExecStep::kIds);
    workdir();
    check(::prctl(PR_SET_SECUREBITS, 0) == 0, ExecStep::kIds);
    err = sys::set_capabilities(header_->capabilities, header_->capabilities, 0);
    if (err != 0) fail(ExecStep::kCapabilities, err);
    if (header_->no_new_privileges)
      check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ExecStep::kNoNewPrivileges);
  }

  /// Without a user namespace: what init left is all there is, and it goes too.
  void keep_ids() noexcept {
    workdir();
    if (!header_->no_new_privileges) return;
    if (const int err = sys::set_capabilities(0, 0, 0); err != 0)
      fail(ExecStep::kCapabilities, err);
    check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ExecStep::kNoNewPrivileges);
    if (context_.landlock < 0) return;
    show_own_process();
    check(::syscall(SYS_landlock_restrict_self, context_.landlock, 0) == 0, ExecStep::kLandlock);
  }

  /// Its own directory in /proc, and so those of the box's other processes that init has started;
  /// of nobody else's. Without it much of a C library works, with it all (pthread_getattr_np(3)).
  void show_own_process() const noexcept {
    const int self = ::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (self < 0) return;
    struct [[gnu::packed]] {
      std::uint64_t access;
      std::int32_t fd;
    } const below{sys::fs_access::kRead, self};
    constexpr int kPathBeneath = 1;  // LANDLOCK_RULE_PATH_BENEATH
    ::syscall(SYS_landlock_add_rule, context_.landlock, kPathBeneath, &below, 0);
    ::close(self);
  }

  /// A working directory is reached without magic links, so /proc/self/fd/N leads nowhere
  /// (CVE-2024-21626).
  void workdir() const noexcept {
    struct open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_NO_MAGICLINKS;
    const long fd = ::syscall(SYS_openat2, AT_FDCWD, at<char>(header_->workdir), &how, sizeof how);
    check(fd >= 0 && ::fchdir(static_cast<int>(fd)) == 0, ExecStep::kWorkdir);
    char path[PATH_MAX];
    check(::syscall(SYS_getcwd, path, sizeof path) > 0, ExecStep::kWorkdir);
    if (path[0] != '/') fail(ExecStep::kWorkdir, EXDEV);  // "(unreachable)": outside of the root
  }

  void seccomp() const noexcept {
    if (context_.seccomp.empty() || header_->unfiltered != 0) return;
    constexpr std::size_t kInstruction = 8;
    const std::size_t count = context_.seccomp.size() / kInstruction;
    if (context_.listener >= 0) return give_listener(count);
    const int err = sys::install_seccomp(context_.seccomp.data(), count);
    if (err != 0) fail(ExecStep::kSeccomp, err);
  }

  void give_listener(std::size_t count) const noexcept {
    const int listener = sys::install_seccomp_listener(context_.seccomp.data(), count);
    if (listener < 0) fail(ExecStep::kSeccomp, -listener);
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof listener)]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof listener);
    *reinterpret_cast<int*>(CMSG_DATA(header)) = listener;
    check(::sendmsg(context_.listener, &message, 0) == 1, ExecStep::kSeccomp);
    ::close(listener);
  }

  /// Goes on as this program, and as non-dumpable as init: nobody in the box can look into it. It
  /// keeps nothing but its socket; that the status pipe is closed tells the shim that it runs.
  [[noreturn]] void serve() const noexcept {
    // One with the caller's ids has no more than others of the box, and init must see its paths.
    ::prctl(PR_SET_DUMPABLE, header_->own_ids != 0 ? 1 : 0);
    ::syscall(SYS_close_range, 1u, UINT_MAX, 0);
    files::serve(0, *context_.service);
    ::_exit(0);
  }

  /// In the place of a program, with what a program would have.
  [[noreturn]] void attack() const noexcept {
    ::close(status_);
    ::prctl(PR_SET_DUMPABLE, 1);  // as a program is after exec
    trial::attack(context_.trial, 1);
    ::_exit(0);
  }

  [[noreturn]] void execute() const noexcept {
    char** words = pointers(header_->words);
    char** env = pointers(header_->env);
    if (context_.launcher >= 0) {
      char* digit = words[0] + sizeof kFirstWord - 1;
      for (int rest = status_; rest != 0; rest /= 10) *--digit = static_cast<char>('0' + rest % 10);
      check(::fcntl(status_, F_SETFD, 0) == 0, ExecStep::kStdio);
      ::syscall(SYS_execveat, context_.launcher, "", words, env, AT_EMPTY_PATH);
      fail(ExecStep::kExec, errno);
    }
    const auto execute = [](const char* path, char** argv, char** environment) noexcept {
      ::execve(path, argv, environment);
      return errno;
    };
    fail(ExecStep::kExec, execute_first(words + 1, env, execute));
  }

  const ExecContext& context_;
  int status_;
  ExecHeader* header_ = nullptr;
};

}  // namespace

void become(const ExecContext& context, int block, int in, int out, int err, int status) noexcept {
  Child(context, status).run(block, in, out, err);
}

}  // namespace caisson::init
