// caisson health, caisson metrics: how the home is.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool json = false;
};

constexpr CommandText kHealth = {
    "health", "[OPTIONS]",
    "Print how the home is: boxes, disk, and what there is to warn of. The exit status is 1 when\n"
    "there is a warning.",
    "  caisson health --json | jq .warnings\n"};
constexpr Option<Settings> kHealthOptions[] = {
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

constexpr CommandText kMetrics = {
    "metrics", "",
    "Print counters and times of everything in this home, in Prometheus' text format.",
    "  caisson metrics > /var/lib/prometheus/node-exporter/caisson.prom\n"};

std::string text_of(const Health& health) {
  std::string text = "boxes     " + std::to_string(health.boxes) + ", " +
                     std::to_string(health.active) + " active, " + std::to_string(health.failed) +
                     " failed\n" + "disk      " + human_size(health.disk_free_bytes) + " of " +
                     human_size(health.disk_total_bytes) + " free\n";
  if (health.last_created_ns) text += "last box  " + time_text(*health.last_created_ns) + "\n";
  for (const std::string& warning : health.warnings) text += "warning: " + escape(warning) + "\n";
  return text;
}

std::optional<int> without_arguments(const CommandText& text,
                                     std::span<const Option<Settings>> options, Args args,
                                     Settings& settings) {
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(text, options, Order::kAnywhere, args, settings, rest))
    return done;
  if (rest.empty()) return std::nullopt;
  return fail(
      usage_error(text.name, "argument_unexpected", "'" + rest.front() + "' says nothing here"),
      settings.json);
}

}  // namespace

int health_command(Args args) {
  Settings settings;
  if (auto done = without_arguments(kHealth, kHealthOptions, args, settings)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto health = runtime->health();
  if (!health) return fail(health.error(), settings.json);
  const int printed =
      print(settings.json ? harmless_json(to_json(*health)) + "\n" : text_of(*health));
  return printed != 0 ? printed : !health->warnings.empty();
}

int metrics_command(Args args) {
  Settings settings;
  if (auto done = without_arguments(kMetrics, {}, args, settings)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto metrics = runtime->metrics();
  return metrics ? print(*metrics) : fail(metrics.error());
}

}  // namespace caisson::cli
