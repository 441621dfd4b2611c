// caisson image: the subcommands about images.
#include "caisson/spec.h"
#include "cli/commands.h"

namespace caisson::cli {
namespace {

constexpr Command kCommands[] = {
    {"ls", "list images, as `caisson images`", images_command},
    {"pull", "fetch images, as `caisson pull`", pull_command},
    {"rm", "remove images, as `caisson rmi`", rmi_command},
    {"inspect", "print everything known about images as JSON", image_inspect_command},
    {"history", "list the steps that made an image", image_history_command},
    {"tag", "give an image one more name", image_tag_command},
    {"load", "take the images out of an archive", image_load_command},
    {"save", "write images into an archive", image_save_command},
    {"prune", "remove what nothing uses, as `caisson prune`", prune_command},
    {"fsck", "check every image, blob and layer", image_fsck_command},
    {"disk", "make a read-only ext4 file of an image's root", image_disk_command},
};

std::string overview() {
  std::string out =
      "Usage: caisson image COMMAND [OPTIONS] [ARGUMENTS]\n\nImages of this home.\n\n";
  out += "Commands:\n";
  for (const Command& command : kCommands) {
    out += "  " + std::string(command.name) + std::string(12 - command.name.size(), ' ');
    out += std::string(command.summary) + "\n";
  }
  return out +
         "\n`caisson image COMMAND --help` explains a command.\n"
         "\nExample:\n  caisson image inspect alpine:3.20 | jq .layers\n";
}

}  // namespace

std::span<const Command> image_commands() { return kCommands; }

int image_command(Args args) {
  const std::string_view word = args.empty() ? std::string_view() : args.front();
  if (word == "--help" || word == "-h") return print(overview());
  if (word.empty()) {
    return fail(usage_error("image", "argument_missing", "a subcommand is missing",
                            "caisson image --help lists them"));
  }
  std::vector<std::string> known;
  for (const Command& command : kCommands) {
    if (command.name == word) return command.run(args.subspan(1));
    known.emplace_back(command.name);
  }
  const std::string near = did_you_mean(word, known);
  return fail(usage_error(
      "image", "command_unknown", "no subcommand '" + std::string(word) + "'",
      near.empty() ? "caisson image --help lists them" : "did you mean '" + near + "'?"));
}

}  // namespace caisson::cli
