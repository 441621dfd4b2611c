// caisson help [COMMAND].
#include <algorithm>

#include "cli/commands.h"

namespace caisson::cli {
namespace {

std::string overview() {
  std::string out =
      "Usage: caisson COMMAND [OPTIONS] [ARGUMENTS]\n\n"
      "Run code that nobody trusts in a sealed box.\n\nCommands:\n";
  for (const Command& command : commands()) {
    out += "  " + std::string(command.name);
    out.append(12 - std::min<std::size_t>(command.name.size(), 11), ' ');
    out += std::string(command.summary) + "\n";
  }
  return out +
         "\n`caisson COMMAND --help` explains a command; `caisson --version` prints the version.\n"
         "\nExample:\n  caisson run host: -- python3 -c 'print(6*7)'\n";
}

}  // namespace

int help_command(Args args) {
  const std::string_view word = args.empty() ? std::string_view() : args.front();
  if (word.empty() || word == "--help" || word == "-h" || word == "help") return print(overview());
  const Command* command = find_command(word);
  if (command == nullptr) return unknown_command(word);
  std::string help = "--help";
  std::vector<char*> words(args.begin() + 1, args.end());  // `caisson help debug plan`
  words.push_back(help.data());
  return command->run(words);
}

}  // namespace caisson::cli
