// caisson wait: block until boxes have ended.
#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {"wait", "BOX...",
                               "Wait until each box has ended and print the exit status that `run` "
                               "would have had, one a line.",
                               "  caisson wait $(caisson run -d host: -- sleep 2)\n"};

}  // namespace

int wait_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, names)) return *done;
  return each_box("wait", names, [](Box& box, const std::string&) -> Result<std::string> {
    auto end = box.wait();
    if (!end) return std::move(end.error());
    return std::to_string(shell_status(*end)) + "\n";
  });
}

}  // namespace caisson::cli
