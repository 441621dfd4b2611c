#include "trial/exhaust.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vector>

#include "base/fd.h"

namespace caisson::trial {
namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

int status_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::string exceed_open_files(std::uint64_t most) {
  std::vector<Fd> files;
  while (files.size() < most + 16) {
    Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!file) return {};
    files.push_back(std::move(file));
  }
  return format("opened {} files, {} are allowed", files.size(), most);
}

std::string exceed_file_size(std::uint64_t most_bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const Fd file(::open("large", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return "could not make a file to try it";
  const auto end = static_cast<off_t>(most_bytes);
  const bool beyond =
      ::pwrite(file.get(), "x", 1, end) == 1 || ::ftruncate(file.get(), end + 1) == 0;
  ::unlink("large");
  return beyond ? format("wrote beyond {} bytes", most_bytes) : std::string();
}

std::string exceed_tmpfs(std::uint64_t most_bytes) {
  // In many files: none may be larger than the limit of files.
  const std::string block(1 << 16, 'x');
  std::uint64_t written = 0;
  std::vector<std::string> names;
  while (written <= most_bytes + 2 * block.size()) {
    names.push_back(format("/tmp/trial.{}", names.size()));
    const Fd file(::open(names.back().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const ssize_t n = file ? ::write(file.get(), block.data(), block.size()) : -1;
    if (n <= 0) break;
    written += static_cast<std::uint64_t>(n);
  }
  for (const std::string& name : names) ::unlink(name.c_str());
  return written > most_bytes ? format("wrote {} bytes, {} are allowed", written, most_bytes)
                              : std::string();
}

std::string exceed_pids(std::uint64_t most) {
  std::vector<pid_t> children;
  while (children.size() < most + 8) {
    const pid_t child = ::fork();
    if (child < 0) break;
    if (child == 0)
      for (;;) ::pause();
    children.push_back(child);
  }
  for (pid_t child : children) ::kill(child, SIGKILL);
  for (pid_t child : children) status_of(child);
  return children.size() > most ? format("made {} processes, {} are allowed", children.size(), most)
                                : std::string();
}

std::string exceed_cpus(std::uint64_t percent) {
  constexpr std::int64_t kTime = 1'200'000'000;
  const std::int64_t begun = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  while (clock_ns(CLOCK_MONOTONIC) - begun < kTime) {
  }
  const std::int64_t wall = clock_ns(CLOCK_MONOTONIC) - begun;
  const std::int64_t got = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used;
  // A period is 100 ms long, and the first may have been begun with what is left of another.
  const std::int64_t most = wall * static_cast<std::int64_t>(percent) / 100 + 100'000'000;
  return got > most ? format("computed {} ms of {}, {} % are allowed", got / 1'000'000,
                             wall / 1'000'000, percent)
                    : std::string();
}

std::string exceed_memory(std::uint64_t most_bytes) {
  const std::size_t size = most_bytes + most_bytes / 2;
  const pid_t child = ::fork();
  if (child < 0) return "could not make a process to try it";
  if (child == 0) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(1);
    volatile char* bytes = static_cast<volatile char*>(memory);
    for (std::size_t at = 0; at < size; at += 4096) bytes[at] = 1;
    ::_exit(0);
  }
  const int status = status_of(child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0
             ? format("used {} bytes, {} are allowed", size, most_bytes)
             : std::string();
}

}  // namespace caisson::trial
