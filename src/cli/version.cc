// caisson version.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool json = false;
};

constexpr CommandText kText = {"version", "[OPTIONS]", "Print the version of Caisson.",
                               "  caisson version --json\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--json", "", "as a JSON object"}, set_true<&Settings::json>},
};

}  // namespace

int version_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  return print((settings.json ? version_object() : "caisson " + std::string(version())) + "\n");
}

}  // namespace caisson::cli
