// caisson rm: delete records, files and logs.
#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool force = false;
};

constexpr CommandText kText = {
    "rm", "[OPTIONS] BOX...",
    "Remove boxes with their files and logs. A running box is refused without -f.",
    "  caisson rm -f web\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-f,--force", "", "kill what still runs"}, set_true<&Settings::force>},
};

}  // namespace

int rm_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  return each_box("rm", names, [&](Box& box, const std::string& name) -> Result<std::string> {
    auto removed = box.remove(settings.force);
    if (!removed) return std::move(removed.error());
    return name + "\n";
  });
}

}  // namespace caisson::cli
