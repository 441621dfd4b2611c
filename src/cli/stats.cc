// caisson stats: what boxes use now, once.
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool json = false;
};

constexpr CommandText kText = {
    "stats", "[OPTIONS] [BOX...]",
    "Print what the boxes use now; without BOX all that run. A figure that this host cannot\n"
    "supply is shown as '-'.",
    "  caisson stats --json web | jq .usage.memory_bytes\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};

std::string size_cell(const std::optional<std::uint64_t>& bytes) {
  return bytes ? human_size(*bytes) : "-";
}

std::string time_cell(const std::optional<std::chrono::nanoseconds>& time) {
  return time ? human_duration(time->count()) : "-";
}

std::vector<std::string> row(const Box& box, const std::string& name, const Usage& usage) {
  return {short_id(box.id()),
          name,
          time_cell(usage.cpu_user),
          time_cell(usage.cpu_system),
          size_cell(usage.memory_bytes),
          size_cell(usage.peak_memory_bytes),
          usage.pids ? std::to_string(*usage.pids) : "-",
          size_cell(usage.read_bytes),
          size_cell(usage.write_bytes),
          size_cell(usage.vmm_memory_bytes)};
}

Result<std::vector<std::string>> running_boxes() {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto list = runtime->list({.all = false, .labels = {}});
  if (!list) return std::move(list.error());
  std::vector<std::string> ids;
  for (const BoxInfo& info : *list) ids.push_back(info.id);
  return ids;
}

int print_stats(const std::vector<std::string>& names, bool json) {
  Table table(
      {"ID", "NAME", "CPU USER", "CPU SYSTEM", "MEMORY", "PEAK", "PIDS", "READ", "WRITTEN", "VMM"});
  const auto use = [&](Box& box, const std::string&) -> Result<std::string> {
    auto info = box.info();
    if (!info) return std::move(info.error());
    auto usage = box.stats();
    if (!usage) return std::move(usage.error());
    if (json) return stats_object(box.id(), info->name, *usage) + "\n";
    table.add(row(box, info->name, *usage));
    return std::string();
  };
  const int status = names.empty() ? 0 : each_box("stats", names, use);
  const int printed = json ? 0 : print(table.text());
  return status != 0 ? status : printed;
}

}  // namespace

int stats_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  if (!names.empty()) return print_stats(names, settings.json);
  auto running = running_boxes();
  return running ? print_stats(*running, settings.json) : fail(running.error());
}

}  // namespace caisson::cli
