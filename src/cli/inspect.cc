// caisson inspect: the whole record as JSON.
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "inspect", "BOX...",
    "Print everything known about boxes: one JSON object, indented; for several boxes one object\n"
    "a line.",
    "  caisson inspect web | jq .exit.reason\n"};

}  // namespace

int inspect_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, names)) return *done;
  return each_box("inspect", names, [&](Box& box, const std::string&) -> Result<std::string> {
    auto info = box.info();
    if (!info) return std::move(info.error());
    const std::string json = info_object(*info);
    return (names.size() == 1 ? pretty(json) : json) + "\n";
  });
}

}  // namespace caisson::cli
