// caisson image: the subcommands about images.
#include "cli/subcommands.h"

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

}  // namespace

std::span<const Command> image_commands() { return kCommands; }

int image_command(Args args) {
  return run_group({"image", "Images of this home.",
                    "  caisson image inspect alpine:3.20 | jq .layers\n", kCommands},
                   args);
}

}  // namespace caisson::cli
