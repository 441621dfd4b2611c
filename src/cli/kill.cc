// caisson kill: a signal for the main command of each box.
#include <csignal>

#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {
  int signal = SIGKILL;
};

constexpr CommandText kText = {
    "kill", "[OPTIONS] BOX...",
    "End everything in the boxes at once, or send another signal to their main commands.",
    "  caisson kill -s HUP web\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-s,--signal", "SIGNAL", "name or number (KILL)"},
     [](Settings& into, std::string_view value) -> Result<> {
       auto number = parse_signal(value);
       if (!number) return std::move(number.error());
       into.signal = *number;
       return {};
     }},
};

}  // namespace

int kill_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  return each_box("kill", names, [&](Box& box, const std::string& name) -> Result<std::string> {
    auto sent = settings.signal == SIGKILL ? box.kill() : box.signal(settings.signal);
    if (!sent) return std::move(sent.error());
    return name + "\n";
  });
}

}  // namespace caisson::cli
