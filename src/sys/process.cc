#include "sys/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <set>
#include <string>

#include "base/fd.h"

namespace caisson::sys {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> value_of(std::string_view text, std::string_view key) {
  const auto at = text.find(key);
  if (at == text.npos) return std::nullopt;
  return number(text.substr(at + key.size()));
}

}  // namespace

std::optional<ProcessIo> parse_process_io(std::string_view text) {
  const auto read = value_of(text, "\nread_bytes: ");
  const auto write = value_of(text, "\nwrite_bytes: ");
  if (!read || !write) return std::nullopt;
  return ProcessIo{*read, *write};
}

std::optional<ProcessIo> process_io(int pid) {
  Result<std::string> text = read_file(format("/proc/{}/io", pid), 4096);
  if (!text) return std::nullopt;
  return parse_process_io(*text);
}

std::optional<std::chrono::nanoseconds> parse_cpu_time(std::string_view stat) {
  // The command, in parentheses, may hold anything; fields are counted from its end. utime is
  // field 14 and the first field after the command is 3.
  const auto close = stat.rfind(')');
  if (close == stat.npos) return std::nullopt;
  stat.remove_prefix(close + 1);
  std::uint64_t ticks = 0;
  for (int field = 3; field <= 17; ++field) {
    const auto start = stat.find_first_not_of(' ');
    if (start == stat.npos) return std::nullopt;
    stat.remove_prefix(start);
    const auto end = std::min(stat.find(' '), stat.size());
    if (field >= 14) ticks += number(stat.substr(0, end)).value_or(0);
    stat.remove_prefix(end);
  }
  const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::chrono::nanoseconds(ticks * (1'000'000'000 / per_second));
}

namespace {

/// Calls `use` with the name of every numbered entry of the directory `path` below `proc`.
template <class Use>
void each_number(int proc, const std::string& path, const Use& use) {
  const int copy = ::openat(proc, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
  if (dir == nullptr) {
    if (copy >= 0) ::close(copy);
    return;
  }
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') use(std::string(entry->d_name));
  ::closedir(dir);
}

/// Empty when the process has gone.
std::string read_stat(int proc, const std::string& path) {
  Result<Fd> file = open_at(proc, path + "/stat", O_RDONLY);
  return file ? read_all(file->get(), 4096, "stat").value_or("") : "";
}

/// The third field: R, S, D, Z, T, t, X.
char state_of(std::string_view stat) {
  const auto close = stat.rfind(')');
  return close == stat.npos || close + 2 >= stat.size() ? 'X' : stat[close + 2];
}

}  // namespace

std::chrono::nanoseconds proc_cpu_time(int proc) {
  std::chrono::nanoseconds total{0};
  each_number(proc, ".", [&](const std::string& pid) {
    total += parse_cpu_time(read_stat(proc, pid)).value_or(std::chrono::nanoseconds(0));
  });
  return total;
}

namespace {

bool stopped(int proc, const std::string& pid, bool or_asleep) {
  const std::string_view still = or_asleep ? "TtZXxD" : "TtZXx";
  bool all = true;
  each_number(proc, pid + "/task", [&](const std::string& thread) {
    const std::string path = pid + "/task/" + thread;
    all = all && still.contains(state_of(read_stat(proc, path)));
  });
  return all;
}

/// The fourth field of `stat`; 0 when the process has gone.
int parent_of(std::string_view stat) {
  const auto close = stat.rfind(')');
  if (close == stat.npos || close + 4 >= stat.size()) return 0;
  return static_cast<int>(number(stat.substr(close + 4)).value_or(0));
}

Fd host_proc() { return open_fd("/proc", O_PATH | O_DIRECTORY).value_or(Fd()); }

}  // namespace

bool all_stopped(int proc, bool or_asleep) {
  bool all = true;
  each_number(proc, ".", [&](const std::string& pid) {
    if (pid != "1") all = all && stopped(proc, pid, or_asleep);
  });
  return all;
}

std::vector<int> descendants(int ancestor) {
  const Fd proc = host_proc();
  std::multimap<int, int> children;
  each_number(proc.get(), ".", [&](const std::string& name) {
    if (const int parent = parent_of(read_stat(proc.get(), name)); parent > 0)
      children.emplace(parent, static_cast<int>(number(name).value_or(0)));
  });
  std::vector<int> found = {ancestor};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [begin, end] = children.equal_range(found[i]);
    for (auto child = begin; child != end; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

void signal_descendants(int ancestor, int number) {
  // A process whose number was taken over since the list was made is no descendant, or a newer one:
  // the parent is looked up once more with the process in hand.
  const Fd proc = host_proc();
  const std::vector<int> pids = descendants(ancestor);
  const std::set<int> family(pids.begin(), pids.end());
  for (int pid : pids) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) continue;
    const int parent = parent_of(read_stat(proc.get(), std::to_string(pid)));
    if (parent == ancestor || family.contains(parent))
      ::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
  }
}

bool descendants_stopped(int ancestor, bool or_asleep) {
  const Fd proc = host_proc();
  bool all = true;
  for (int pid : descendants(ancestor))
    all = all && stopped(proc.get(), std::to_string(pid), or_asleep);
  return all;
}

std::chrono::nanoseconds descendants_cpu_time(int ancestor) {
  const Fd proc = host_proc();
  const auto time_of = [&](int pid) {
    return parse_cpu_time(read_stat(proc.get(), std::to_string(pid)))
        .value_or(std::chrono::nanoseconds(0));
  };
  std::chrono::nanoseconds total = time_of(ancestor);
  for (int pid : descendants(ancestor)) total += time_of(pid);
  return total;
}

}  // namespace caisson::sys
