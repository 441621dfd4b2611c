#include "sys/cgroup_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/clock.h"

namespace caisson::sys {
namespace {

constexpr std::size_t kLargestFile = 16u << 20;  // cgroup.procs of a group without a limit

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// The names of the groups directly below. cgroupfs fills in d_type.
std::vector<std::string> child_groups(int group) {
  std::vector<std::string> names;
  Fd fd(::openat(group, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return names;
  std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd.get()));
  if (!dir) return names;
  static_cast<void>(fd.release());  // the stream owns it now
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

Fd open_group(int at, const char* name) {
  return Fd(::openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

void add_pids(int group, std::vector<int>& pids) {
  Fd fd(::openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  const auto text = read_all(fd.get(), kLargestFile, "cgroup.procs");
  if (!text) return;
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    int pid = 0;
    const auto [next, error] = std::from_chars(at, end, pid);
    if (error == std::errc() && pid > 0)
      pids.push_back(pid);  // 0: in a pid namespace we cannot see
    at = std::find(next, end, '\n') + 1;
  }
}

}  // namespace

Result<ControlDir> ControlDir::open(std::string path) {
  Fd dir(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return sys_error("open cgroup", path);
  return ControlDir(std::move(dir), std::move(path));
}

bool ControlDir::has(const char* file) const { return ::faccessat(dir_.get(), file, F_OK, 0) == 0; }

Result<std::string> ControlDir::read(const char* file) const {
  Fd fd(::openat(dir_.get(), file, O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open", path_ + "/" + file);
  char buffer[4096];  // nearly every control file fits
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n < 0) return sys_error("read", path_ + "/" + file);
  std::string text(buffer, static_cast<std::size_t>(n));
  if (text.size() == sizeof buffer) text += TRY(read_all(fd.get(), kLargestFile, file));
  return text;
}

std::optional<std::string> ControlDir::find(const char* file) const {
  auto text = read(file);
  if (!text) return std::nullopt;
  return std::move(*text);
}

Result<> ControlDir::write(const char* file, std::string_view value) const {
  Fd fd(::openat(dir_.get(), file, O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_error("open", path_ + "/" + file);
  // One write: the kernel parses each write(2) as a whole value.
  if (::write(fd.get(), value.data(), value.size()) < 0)
    return sys_error(format("write {} to", value), path_ + "/" + file);
  return {};
}

void ControlDir::collect_pids(std::vector<int>& pids) const {
  add_pids(dir_.get(), pids);
  std::vector<std::string> pending = child_groups(dir_.get());
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    Fd group = open_group(dir_.get(), name.c_str());
    if (!group) continue;  // removed since
    add_pids(group.get(), pids);
    for (const std::string& child : child_groups(group.get()))
      pending.push_back(name + "/" + child);
  }
}

// A box that may write its cgroups can nest them deeper than any descriptor limit: the walk holds
// one descriptor, and goes up through "..".
Result<> ControlDir::remove_children() const {
  std::vector<std::string> names;
  Fd group = open_group(dir_.get(), ".");
  while (group) {
    std::vector<std::string> children = child_groups(group.get());
    if (!children.empty()) {
      Fd child = open_group(group.get(), children.front().c_str());
      if (!child) break;
      names.push_back(std::move(children.front()));
      group = std::move(child);
      continue;
    }
    if (names.empty()) return {};
    Fd parent = open_group(group.get(), "..");
    if (!parent) break;
    if (::unlinkat(parent.get(), names.back().c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
      return sys_error("remove cgroup below", path_);
    names.pop_back();
    group = std::move(parent);
  }
  return sys_error("walk cgroups below", path_);
}

Backoff::Backoff(std::chrono::nanoseconds limit)
    : deadline_(boot_ns() + limit.count()), step_(50'000) {}

bool Backoff::wait() {
  if (boot_ns() >= deadline_) return false;
  const timespec pause{0, static_cast<long>(step_)};
  ::nanosleep(&pause, nullptr);
  step_ = std::min<std::int64_t>(step_ * 2, 5'000'000);
  return true;
}

}  // namespace caisson::sys
