// caisson completion SHELL: the same files that an installation puts in place.
#include "cli/commands.h"
#include "cli/completion_data.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {"completion", "bash|zsh|fish", "Print the completions for a shell.",
                               "  source <(caisson completion bash)\n"};

}  // namespace

int completion_command(Args args) {
  Settings settings;
  std::vector<std::string> shells;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, shells))
    return *done;
  if (shells.size() != 1) {
    return fail(usage_error("completion", "argument_missing", "it takes one shell",
                            "caisson completion bash|zsh|fish"));
  }
  if (shells.front() == "bash") return print(kBashCompletion);
  if (shells.front() == "zsh") return print(kZshCompletion);
  if (shells.front() == "fish") return print(kFishCompletion);
  return fail(usage_error("completion", "argument_unexpected",
                          "no completions for '" + shells.front() + "'",
                          "the shells are bash, zsh and fish"));
}

}  // namespace caisson::cli
