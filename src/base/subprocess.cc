#include "base/subprocess.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <memory>

#include "base/scope_exit.h"

namespace caisson {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string ending(int status) {
  return WIFEXITED(status) ? format("exit status {}", WEXITSTATUS(status))
                           : format("ended by signal {}", WTERMSIG(status));
}

}  // namespace

Result<int> spawn(const std::vector<std::string>& argv, const SpawnOptions& options) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  ScopeExit cleanup([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  for (auto [ours, theirs] : options.fds) posix_spawn_file_actions_adddup2(&actions, ours, theirs);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&attributes, flags);

  const std::vector<char*> args = pointers(argv);
  const std::vector<char*> env = pointers(options.env);
  pid_t pid = -1;
  const int err =
      ::posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, args.data(), env.data());
  if (err != 0) return errno_error(err, "start program", argv[0]);
  return pid;
}

namespace {

/// What the two short-lived processes of spawn_detached share with their caller, whose memory they
/// run in while it waits.
struct Detached {
  const char* path;
  char* const* argv;
  const std::pair<int, int>* fds;
  std::size_t count;
  char* stack;  ///< of the program's process
  int error;
};
constexpr std::size_t kStack = 32768;

/// Only system calls from here to exec.
int become_program(void* argument) {
  auto* detached = static_cast<Detached*>(argument);
  ::setsid();
  for (std::size_t i = 0; i < detached->count; ++i)
    ::dup2(detached->fds[i].first, detached->fds[i].second);
  // What the caller ignores would stay ignored after exec, in the box too.
  struct sigaction defaults{};
  defaults.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; ++s) ::sigaction(s, &defaults, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  char* const env[] = {nullptr};
  ::execve(detached->path, detached->argv, env);
  detached->error = errno;
  ::_exit(127);
}

int start_program(void* argument) {
  auto* detached = static_cast<Detached*>(argument);
  if (::clone(become_program, detached->stack + kStack, CLONE_VM | CLONE_VFORK, detached) < 0)
    detached->error = errno;
  ::_exit(0);
}

}  // namespace

Result<> spawn_detached(const std::vector<std::string>& argv,
                        const std::vector<std::pair<int, int>>& fds) {
  const std::vector<char*> args = pointers(argv);
  const std::unique_ptr<char[]> stacks(new char[2 * kStack]);
  Detached detached{argv[0].c_str(), args.data(), fds.data(), fds.size(), stacks.get() + kStack, 0};
  // No handler of the caller may run in the children, which use its memory.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  // No exit signal: the caller's program sees neither the child nor its end.
  const int pid = ::clone(start_program, stacks.get() + kStack, CLONE_VM | CLONE_VFORK, &detached);
  const int err = errno;
  if (pid > 0)
    while (::waitpid(pid, nullptr, static_cast<int>(__WCLONE)) < 0 && errno == EINTR) {
    }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return errno_error(err, "start program", argv[0]);
  if (detached.error != 0) return errno_error(detached.error, "start program", argv[0]);
  return {};
}

Result<> run(const std::vector<std::string>& argv, std::vector<std::string> env) {
  Fd null = TRY(open_fd("/dev/null", O_RDWR));
  Pipe errors = TRY(make_pipe());
  SpawnOptions options;
  options.env = std::move(env);
  options.fds = {{null.get(), 0}, {null.get(), 1}, {errors.write.get(), 2}};
  const int pid = TRY(spawn(argv, options));
  errors.write.reset();
  Result<std::string> text = read_all(errors.read.get(), 1u << 20, argv[0]);
  errors.read.reset();  // a program that says more than is read must not wait for us for ever
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  std::string last = text ? *text : "";
  while (!last.empty() && last.back() == '\n') last.pop_back();
  if (auto newline = last.rfind('\n'); newline != std::string::npos) last.erase(0, newline + 1);
  return make_error(
      Code::kInternal, "program_failed",
      format("run '{}': {}{}{}", argv[0], ending(status), last.empty() ? "" : ": ", last));
}

}  // namespace caisson
