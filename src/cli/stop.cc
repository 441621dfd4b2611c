// caisson stop: the stop signal, a grace period, then the end.
#include <chrono>

#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::chrono::nanoseconds grace = std::chrono::seconds(10);
};

constexpr CommandText kText = {
    "stop", "[OPTIONS] BOX...",
    "Send each box its stop signal and kill what is left when the time is up.",
    "  caisson stop -t 2 web\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-t,--time", "SECONDS", "how long to wait before killing (10); 0 kills at once"},
     [](Settings& into, std::string_view value) -> Result<> {
       // A grace of nothing is fine here; as a limit it is not.
       if (value == "0") return into.grace = {}, Result<>();
       auto grace = parse_duration(value);
       if (!grace) return std::move(grace.error());
       into.grace = *grace;
       return {};
     }},
};

}  // namespace

int stop_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  return each_box("stop", names, [&](Box& box, const std::string& name) -> Result<std::string> {
    auto stopped = box.stop(settings.grace);
    if (!stopped) return std::move(stopped.error());
    return name + "\n";
  });
}

}  // namespace caisson::cli
