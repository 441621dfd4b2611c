// caisson top: what boxes use, again and again.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::chrono::nanoseconds interval = std::chrono::seconds(1);
  std::uint64_t count = 0;
};

constexpr CommandText kText = {
    "top", "[OPTIONS] [BOX...]",
    "Show what the boxes use, the busiest first, again and again; without BOX all that run.\n"
    "Ctrl-C ends it.",
    "  caisson top\n  caisson top -n 1 web\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--interval", "TIME", "between two looks (1s)"},
     [](Settings& o, std::string_view v) {
       auto time = parse_duration(v);
       if (!time) return Result<>(std::move(time.error()));
       o.interval = std::max<std::chrono::nanoseconds>(*time, std::chrono::milliseconds(100));
       return Result<>();
     }},
    {{"-n,--iterations", "N", "end after so many looks"},
     [](Settings& o, std::string_view v) {
       auto count = parse_count(v);
       if (!count) return Result<>(std::move(count.error()));
       o.count = *count;
       return Result<>();
     }},
};

/// Processor time at one moment.
struct Sample {
  std::chrono::nanoseconds cpu{0};
  Clock::time_point time;
};

struct Row {
  std::string id, name;
  Usage usage;
  double percent = 0;
};

std::string size_cell(const std::optional<std::uint64_t>& bytes) {
  return bytes ? human_size(*bytes) : "-";
}

std::string percent_cell(double percent) {
  const std::int64_t tenths = std::llround(percent * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

class Top final {
 public:
  Top(Runtime& runtime, std::vector<std::string> names)
      : runtime_(runtime), names_(std::move(names)) {}

  Result<std::string> look() {
    std::vector<Row> rows;
    if (names_.empty()) {
      auto list = runtime_.list({.all = false, .labels = {}});
      if (!list) return std::move(list.error());
      for (const BoxInfo& info : *list) {
        auto box = runtime_.find(info.id);
        if (box) add(*box, info, rows);  // else it has ended meanwhile
      }
    }
    for (const std::string& name : names_) {
      auto box = runtime_.find(name);
      if (!box) return std::move(box.error());
      auto info = box->info();
      if (!info) return std::move(info.error());
      add(*box, *info, rows);
    }
    std::ranges::stable_sort(rows, std::ranges::greater(), &Row::percent);
    Table table({"ID", "NAME", "CPU %", "MEMORY", "PEAK", "PIDS", "READ", "WRITTEN"});
    for (const Row& row : rows) {
      table.add({short_id(row.id), row.name, percent_cell(row.percent),
                 size_cell(row.usage.memory_bytes), size_cell(row.usage.peak_memory_bytes),
                 row.usage.pids ? std::to_string(*row.usage.pids) : "-",
                 size_cell(row.usage.read_bytes), size_cell(row.usage.write_bytes)});
    }
    return table.text();
  }

 private:
  void add(const Box& box, const BoxInfo& info, std::vector<Row>& rows) {
    auto usage = box.stats();
    if (!usage) return;
    Row row{info.id, info.name, *usage};
    const Sample now{usage->cpu_user.value_or(std::chrono::nanoseconds(0)) +
                         usage->cpu_system.value_or(std::chrono::nanoseconds(0)),
                     Clock::now()};
    const auto before = samples_.find(info.id);
    if (before != samples_.end() && now.time > before->second.time) {
      row.percent = 100.0 * static_cast<double>((now.cpu - before->second.cpu).count()) /
                    static_cast<double>((now.time - before->second.time).count());
      row.percent = std::max(row.percent, 0.0);
    }
    samples_[info.id] = now;
    rows.push_back(std::move(row));
  }

  Runtime& runtime_;
  std::vector<std::string> names_;
  std::map<std::string, Sample> samples_;
};

Result<int> show(const Settings& settings, const std::vector<std::string>& names) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto signals = SignalCatcher::install();
  if (!signals) return std::move(signals.error());
  Top top(*runtime, names);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  for (std::uint64_t i = 1;; ++i) {
    auto text = top.look();
    if (!text) return std::move(text.error());
    // A terminal's cursor goes home and what was there is cleared (ECMA-48, CUP and ED).
    const int printed = print((terminal ? "\033[H\033[J" : "") + *text + (terminal ? "" : "\n"));
    if (printed != 0 || i == settings.count) return printed;
    pollfd polled{signals->fd(), POLLIN, 0};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(settings.interval);
    if (::poll(&polled, 1, static_cast<int>(std::min<std::int64_t>(ms.count(), 1'000'000))) > 0)
      return 0;
  }
}

}  // namespace

int top_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  auto status = show(settings, names);
  return status ? *status : fail(status.error());
}

}  // namespace caisson::cli
