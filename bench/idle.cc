// Many idle boxes at once: what each costs to make and to keep, against idle bwrap sandboxes.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "base/scope_exit.h"
#include "bench/measure.h"
#include "caisson/caisson.h"

namespace caisson::bench {
namespace {

/// The number after `key` in a file of `Key:  number` lines.
Result<std::int64_t> number_in(const std::string& path, const std::string& key) {
  const std::string text = TRY(read_file(path));
  const auto at = text.find("\n" + key);
  if (at == std::string::npos)
    return make_error(Code::kNotFound, "no_figure", format("read '{}': no {}", path, key));
  return std::strtoll(text.c_str() + at + 1 + key.size(), nullptr, 10);
}

Result<double> pss_kib(int pid) {
  const auto kib = TRY(number_in(format("/proc/{}/smaps_rollup", pid), "Pss:"));
  return static_cast<double>(kib);
}

Result<int> parent_of(int pid) {
  return static_cast<int>(TRY(number_in(format("/proc/{}/status", pid), "PPid:")));
}

Result<std::vector<int>> children_of(int pid) {
  std::istringstream text(TRY(read_file(format("/proc/{0}/task/{0}/children", pid))));
  std::vector<int> children;
  for (int child = 0; text >> child;) children.push_back(child);
  return children;
}

Result<std::int64_t> available_kib() { return number_in("/proc/meminfo", "MemAvailable:"); }

Result<> remove_all(std::vector<Box>& boxes, Samples* samples) {
  Result<> first;
  for (Box& box : boxes) {
    const std::int64_t begin = boot_ns();
    Result<> removed = box.remove(true);
    if (samples != nullptr) samples->add("idle.remove", ms_since(begin));
    if (!removed && first) first = removed;
  }
  boxes.clear();
  return first;
}

Result<> make_boxes(Runtime& runtime, int count, std::vector<Box>& boxes, Samples& samples) {
  for (int i = 0; i < count; ++i) {
    TRY(check_stop());
    const std::int64_t begin = boot_ns();
    boxes.push_back(TRY(runtime.create({.source = "host:", .command = {"sleep", "100000"}})));
    TRY(boxes.back().start());
    samples.add("idle.create", ms_since(begin));
  }
  return {};
}

Result<> weigh_boxes(const std::vector<Box>& boxes, Samples& samples) {
  for (const Box& box : boxes) {
    TRY(check_stop());
    const BoxInfo info = TRY(box.info());
    const int init = info.init_pid.value_or(0);
    const double shim_kib = TRY(pss_kib(TRY(parent_of(init))));
    const double init_kib = TRY(pss_kib(init));
    samples.add("idle.shim_kib", shim_kib);
    samples.add("idle.init_kib", init_kib);
    samples.add("idle.box_kib", shim_kib + init_kib);
  }
  return {};
}

Result<> measure_caisson(const Options& options, Samples& samples) {
  Runtime runtime = TRY(Runtime::open());
  std::vector<Box> boxes;
  ScopeExit remove([&boxes] { [[maybe_unused]] Result<> r = remove_all(boxes, nullptr); });
  Calm calm;
  TRY(calm.wait(samples));
  const std::int64_t before = TRY(available_kib());
  TRY(make_boxes(runtime, options.boxes, boxes, samples));
  const std::int64_t after = TRY(available_kib());
  samples.add("idle.host_kib", static_cast<double>(before - after) / options.boxes);
  TRY(weigh_boxes(boxes, samples));
  return remove_all(boxes, &samples);
}

/// bwrap keeps two processes: the one we start, and the sandbox's own process 1.
Result<int> bwrap_init(int monitor) {
  for (int i = 0; i < 2000; ++i) {
    TRY(check_stop());
    const std::vector<int> inits = TRY(children_of(monitor));
    if (!inits.empty() && !TRY(children_of(inits.front())).empty()) return inits.front();
    ::usleep(1000);
  }
  return make_error(Code::kDeadlineExceeded, "program_failed", "start 'bwrap': no sandbox appears");
}

Result<> measure_bwrap(const Options& options, Samples& samples) {
  std::vector<int> monitors, inits;
  ScopeExit end([&monitors] {
    for (int pid : monitors) ::kill(pid, SIGKILL);
    for (int pid : monitors) [[maybe_unused]]
      Result<> r = reap(pid, "bwrap");
  });
  const std::int64_t before = TRY(available_kib());
  for (int i = 0; i < options.boxes; ++i) {
    TRY(check_stop());
    monitors.push_back(TRY(
        start_program({"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/",
                       "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "sleep", "100000"})));
    inits.push_back(TRY(bwrap_init(monitors.back())));
  }
  const std::int64_t after = TRY(available_kib());
  samples.add("idle.bwrap_host_kib", static_cast<double>(before - after) / options.boxes);
  for (std::size_t i = 0; i < monitors.size(); ++i) {
    const double kib = TRY(pss_kib(monitors[i])) + TRY(pss_kib(inits[i]));
    samples.add("idle.bwrap_kib", kib);
  }
  return {};
}

}  // namespace

Result<> measure_idle(const Options& options, Samples& samples) {
  TRY(measure_caisson(options, samples));
  return measure_bwrap(options, samples);
}

}  // namespace caisson::bench
