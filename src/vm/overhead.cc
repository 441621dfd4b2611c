#include "vm/overhead.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/fd.h"

namespace caisson::vm {
namespace {

/// Its share of the memory that it has, proc_pid_smaps(5).
std::optional<std::uint64_t> memory_of(pid_t process) {
  const Result<std::string> text = read_file(format("/proc/{}/smaps_rollup", process), 1 << 16);
  const std::size_t at = text ? text->find("\nPss:") : std::string::npos;
  unsigned long long kib = 0;
  if (at == std::string::npos || std::sscanf(text->c_str() + at, " Pss: %llu", &kib) != 1)
    return std::nullopt;
  return kib * 1024;
}

/// User and system time of all its threads, proc_pid_stat(5).
std::optional<std::chrono::nanoseconds> cpu_of(pid_t process) {
  const Result<std::string> text = read_file(format("/proc/{}/stat", process), 4096);
  const std::size_t name_end = text ? text->rfind(')') : std::string::npos;
  unsigned long long user = 0, system = 0;
  if (name_end == std::string::npos ||
      std::sscanf(text->c_str() + name_end + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
    return std::nullopt;
  const auto ticks = static_cast<unsigned long long>(::sysconf(_SC_CLK_TCK));
  return std::chrono::nanoseconds((user + system) * (1'000'000'000ull / ticks));
}

}  // namespace

void add_overhead(pid_t process, Usage& usage) {
  if (const auto memory = memory_of(process))
    usage.vmm_memory_bytes = *memory - std::min(*memory, usage.memory_bytes.value_or(0));
  if (const auto cpu = cpu_of(process)) {
    const std::chrono::nanoseconds none{0};
    usage.vmm_cpu =
        std::max(none, *cpu - usage.cpu_user.value_or(none) - usage.cpu_system.value_or(none));
  }
}

}  // namespace caisson::vm
