#include "bench/measure.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "base/fd.h"
#include "base/scope_exit.h"

namespace caisson::bench {
namespace {

/// The only thing a signal handler may touch.
volatile sig_atomic_t stop_asked = 0;

/// How busy all processors were for the last tenth of a second, from 0 to 1 (proc(5), /proc/stat).
Result<double> busy_share() {
  double busy[2] = {}, total[2] = {};
  for (int look = 0; look < 2; ++look) {
    if (look == 1) ::usleep(100'000);
    std::istringstream line(TRY(read_file("/proc/stat")).substr(std::strlen("cpu ")));
    for (int column = 0; column < 8; ++column) {
      double ticks = 0;
      line >> ticks;
      total[look] += ticks;
      if (column != 3 && column != 4) busy[look] += ticks;  // idle and iowait
    }
  }
  return (busy[1] - busy[0]) / std::max(total[1] - total[0], 1.0);
}

}  // namespace

Result<> Calm::wait(Samples& samples) {
  constexpr double kIdle = 0.15;
  while (tries_left_ > 0) {
    TRY(check_stop());
    --tries_left_;
    if (TRY(busy_share()) > kIdle) continue;
    samples.add("busy_rounds", 0);
    return {};
  }
  samples.add("busy_rounds", 1);
  return {};
}

void Samples::print() const {
  for (const auto& [name, values] : values_) {
    std::printf("%s", name.c_str());
    for (double value : values) std::printf(" %.6g", value);
    std::printf("\n");
  }
}

Result<pid_t> start_program(const std::vector<std::string>& argv, int out) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ScopeExit destroy([&actions] { ::posix_spawn_file_actions_destroy(&actions); });
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (out < 0)
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  else
    ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  pid_t pid = -1;
  const int err = ::posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  if (err != 0) return errno_error(err, "start program", argv[0]);
  return pid;
}

Result<> reap(pid_t pid, std::string_view name) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return sys_error("wait for program", name);
  if (status == 0) return {};
  TRY(check_stop());
  return make_error(Code::kUnknown, "program_failed",
                    format("run program '{}': wait status {:#x}", name, status));
}

Result<double> time_program(const std::vector<std::string>& argv) {
  TRY(check_stop());
  const std::int64_t begin = boot_ns();
  const pid_t pid = TRY(start_program(argv));
  TRY(reap(pid, argv[0]));
  return ms_since(begin);
}

void catch_stop_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

Result<> check_stop() {
  if (stop_asked == 0) return {};
  return make_error(Code::kCancelled, "interrupted", "measure: interrupted");
}

}  // namespace caisson::bench
