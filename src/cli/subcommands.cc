#include "cli/subcommands.h"

#include "caisson/spec.h"

namespace caisson::cli {
namespace {

std::string overview(const CommandGroup& group) {
  const std::string name(group.name);
  std::string out = "Usage: caisson " + name + " COMMAND [OPTIONS] [ARGUMENTS]\n\n" +
                    std::string(group.about) + "\n\nCommands:\n";
  for (const Command& command : group.commands) {
    out += "  " + std::string(command.name) + std::string(12 - command.name.size(), ' ');
    out += std::string(command.summary) + "\n";
  }
  return out + "\n`caisson " + name + " COMMAND --help` explains a command.\n\nExample:\n" +
         std::string(group.example);
}

}  // namespace

int run_group(const CommandGroup& group, Args args) {
  const std::string_view word = args.empty() ? std::string_view() : args.front();
  if (word == "--help" || word == "-h") return print(overview(group));
  const std::string hint = "caisson " + std::string(group.name) + " --help lists them";
  if (word.empty())
    return fail(usage_error(group.name, "argument_missing", "a subcommand is missing", hint));
  std::vector<std::string> known;
  for (const Command& command : group.commands) {
    if (command.name == word) return command.run(args.subspan(1));
    known.emplace_back(command.name);
  }
  const std::string near = did_you_mean(word, known);
  return fail(usage_error(group.name, "command_unknown",
                          "no subcommand '" + std::string(word) + "'",
                          near.empty() ? hint : "did you mean '" + near + "'?"));
}

}  // namespace caisson::cli
