#include "base/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/scope_exit.h"

namespace caisson {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
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
  for (auto [ours, theirs] : options.fds)
    posix_spawn_file_actions_adddup2(&actions, ours, theirs);
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

Result<> run(const std::vector<std::string>& argv, std::vector<std::string> env) {
  Fd null = TRY(open_fd("/dev/null", O_RDWR));
  Pipe errors = TRY(make_pipe());
  SpawnOptions options;
  options.env = std::move(env);
  options.fds = {{null.get(), 0}, {null.get(), 1}, {errors.write.get(), 2}};
  const int pid = TRY(spawn(argv, options));
  errors.write.reset();
  Result<std::string> text = read_all(errors.read.get(), 1u << 20, argv[0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  std::string last = text ? *text : "";
  while (!last.empty() && last.back() == '\n') last.pop_back();
  if (auto newline = last.rfind('\n'); newline != std::string::npos) last.erase(0, newline + 1);
  return make_error(Code::kInternal, "program_failed",
                    format("run '{}': status {}: {}", argv[0], status, last));
}

}  // namespace caisson
