// caisson rmi: take names away, and images with their last one.
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool force = false;
  bool json = false;
};

constexpr CommandText kText = {
    "rmi", "[OPTIONS] IMAGE...",
    "Remove images by name, digest or the beginning of one. A name goes alone while the image has\n"
    "others; an image that boxes use is refused without -f.",
    "  caisson rmi alpine:3.20\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-f,--force", "", "also with several names or used by boxes, whose last one takes it along"},
     set_true<&Settings::force>},
    {{"--json", "", "one JSON object an image"}, set_true<&Settings::json>},
};

}  // namespace

int rmi_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  return each_image("rmi", names, settings.json,
                    [&](Images& images, const std::string& name) -> Result<std::string> {
                      auto removed = images.remove(name, {.force = settings.force});
                      if (!removed) return std::move(removed.error());
                      if (settings.json) return removed_object(*removed) + "\n";
                      return removed_text(*removed);
                    });
}

}  // namespace caisson::cli
