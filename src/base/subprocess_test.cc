#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/unit_test_support.h"

namespace caisson {
namespace {

/// What a shell command writes, started as `options` say.
std::string output_of(const std::string& script, SpawnOptions options = {}) {
  Pipe pipe = make_pipe().value();
  options.fds.emplace_back(pipe.write.get(), 1);
  const int pid = spawn({"/bin/sh", "-c", script}, options).value();
  pipe.write.reset();
  const std::string text = read_all(pipe.read.get(), 1u << 20, "pipe").value();
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << script;
  return text;
}

TEST(Spawn, NothingIsInherited) {
  ::setenv("CAISSON_TEST_CANARY", "leaked", 1);
  const Fd kept = open_fd("/dev/null", O_RDONLY).value();
  EXPECT_EQ(output_of("/usr/bin/env | /bin/grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= || :"),
            "");
  EXPECT_EQ(output_of("echo \"$A\"", {.env = {"A=1 2"}}), "1 2\n");
  EXPECT_EQ(output_of(format("[ -e /proc/self/fd/{} ] && echo leaked || :", kept.get())), "");
  ::unsetenv("CAISSON_TEST_CANARY");
}

TEST(Spawn, GivesTheDescriptorsThatWereAskedFor) {
  Pipe in = make_pipe().value();
  ASSERT_TRUE(write_all(in.write.get(), "line\n", "pipe"));
  in.write.reset();
  EXPECT_EQ(output_of("cat <&7", {.env = {"PATH=/bin:/usr/bin"}, .fds = {{in.read.get(), 7}}}),
            "line\n");
  // A descriptor that has its number already must stay open all the same.
  const Fd seven(::fcntl(1, F_DUPFD_CLOEXEC, 27));
  EXPECT_EQ(output_of(format("[ -e /proc/self/fd/{} ] && echo there", seven.get()),
                      {.fds = {{seven.get(), seven.get()}}}),
            "there\n");
}

TEST(Spawn, SignalsAreDefaultAndUnblocked) {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const std::string status = output_of(
      "while read l; do case $l in Sig[BI]*) echo $l;; esac; "
      "done </proc/self/status");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  unsigned long blocked = 1, ignored = 1;
  ASSERT_EQ(std::sscanf(status.c_str(), "SigBlk: %lx SigIgn: %lx", &blocked, &ignored), 2)
      << status;
  constexpr unsigned long kOfThreads = 3ul << 31;  // 32 and 33: posix_spawn ignores libc's own
  EXPECT_EQ(blocked, 0u);
  EXPECT_EQ(ignored & ~kOfThreads, 0u);
}

TEST(Spawn, NewSession) {
  const int pid =
      spawn({"/bin/sh", "-c", "sleep 10"}, {.env = {"PATH=/bin:/usr/bin"}, .new_session = true})
          .value();
  EXPECT_EQ(::getsid(pid), pid);
  ::kill(-pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

TEST(Spawn, MissingProgramIsAnError) {
  const auto missing = spawn({"/nowhere/program"}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "start program '/nowhere/program': No such file or directory");
}

TEST(SpawnDetached, IsNoChildAndHasOnlyItsDescriptors) {
  Pipe pipe = make_pipe().value();
  const Fd out(::fcntl(pipe.write.get(), F_DUPFD_CLOEXEC, 20));
  pipe.write.reset();
  ASSERT_TRUE(spawn_detached(
      {"/bin/sh", "-c", "echo $PPID $# \"$1\" >&5; exec sleep 0", "sh", "a b"}, {{out.get(), 5}}));
  EXPECT_LT(::waitpid(-1, nullptr, __WALL), 0);
  EXPECT_EQ(errno, ECHILD);
  char line[100] = {};
  ASSERT_GT(::read(pipe.read.get(), line, sizeof line - 1), 0);
  EXPECT_NE(std::atoi(line), ::getpid());
  EXPECT_NE(std::string(line).find(" 1 a b\n"), std::string::npos) << line;
}

TEST(SpawnDetached, MissingProgramIsAnError) {
  const auto missing = spawn_detached({"/nowhere/program"}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "start program '/nowhere/program': No such file or directory");
  EXPECT_LT(::waitpid(-1, nullptr, __WALL), 0) << "nothing is left to reap";
}

TEST(Run, SuccessAndFailure) {
  EXPECT_TRUE(run({"/bin/sh", "-c", "echo noise; exit 0"}));
  EXPECT_TRUE(run({"/bin/sh", "-c", "[ \"$A\" = b ]"}, {"A=b"}));
  const auto failed = run({"/bin/sh", "-c", "echo first >&2; echo the cause >&2; exit 3"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "program_failed");
  EXPECT_EQ(failed.error().message, "run '/bin/sh': exit status 3: the cause");
  EXPECT_EQ(run({"/bin/sh", "-c", "kill -9 $$"}).error().message,
            "run '/bin/sh': ended by signal 9");
}

TEST(Run, ProgramThatFloodsItsErrorsDoesNotBlock) {
  EXPECT_FALSE(run(
      {"/bin/sh", "-c", "while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done >&2"}));
}

}  // namespace
}  // namespace caisson
