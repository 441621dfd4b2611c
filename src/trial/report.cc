#include <charconv>

#include "base/format.h"
#include "trial/attack.h"

namespace caisson::trial {
namespace {

constexpr std::string_view kEnd = "end";

template <class Use>
void each_line(std::string_view text, const Use& use) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <class T>
void read_number(std::string_view text, T& out) {
  std::from_chars(text.data(), text.data() + text.size(), out);
}

}  // namespace

std::string encode(const Target& t) {
  return format(
      "canary={}\nabstract={}\nport={}\npid={}\nshm={}\ncapabilities={}\nown_proc={}\nboot={}\n"
      "memory={}\npids={}\nopen_files={}\nfile_size={}\ntmpfs={}\ncpu={}\n",
      t.canary, t.abstract_name, t.tcp_port, t.pid, t.shm_id, t.capabilities, t.own_proc ? 1 : 0,
      t.boot, t.memory_bytes, t.pids, t.open_files, t.file_size_bytes, t.tmpfs_bytes,
      t.cpu_percent);
}

Target decode(std::string_view text) {
  Target t;
  each_line(text, [&t](std::string_view line) {
    const auto equals = std::min(line.find('='), line.size());
    const std::string_view key = line.substr(0, equals);
    const std::string_view value = line.substr(std::min(equals + 1, line.size()));
    if (key == "canary") t.canary = value;
    if (key == "abstract") t.abstract_name = value;
    if (key == "port") read_number(value, t.tcp_port);
    if (key == "pid") read_number(value, t.pid);
    if (key == "shm") read_number(value, t.shm_id);
    if (key == "capabilities") read_number(value, t.capabilities);
    if (key == "own_proc") t.own_proc = value == "1";
    if (key == "boot") t.boot = value;
    if (key == "memory") read_number(value, t.memory_bytes);
    if (key == "pids") read_number(value, t.pids);
    if (key == "open_files") read_number(value, t.open_files);
    if (key == "file_size") read_number(value, t.file_size_bytes);
    if (key == "tmpfs") read_number(value, t.tmpfs_bytes);
    if (key == "cpu") read_number(value, t.cpu_percent);
  });
  return t;
}

std::string line_of(const Finding& finding) {
  return format("{}\t{}\n", finding.defence, finding.broken);
}

Result<std::vector<Finding>> parse_report(std::string_view text) {
  std::vector<Finding> findings;
  bool ended = false;
  each_line(text, [&](std::string_view line) {
    ended = line == kEnd;
    const auto tab = line.find('\t');
    if (tab != std::string_view::npos)
      findings.push_back({std::string(line.substr(0, tab)), std::string(line.substr(tab + 1))});
  });
  if (ended) return findings;
  return make_error(Code::kInternal, "trial_died",
                    format("try the isolation: the attack ended after '{}'",
                           findings.empty() ? "nothing" : findings.back().defence));
}

}  // namespace caisson::trial
