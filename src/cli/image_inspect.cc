// caisson image inspect: digest, layers, configuration as JSON.
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/json_output.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "image inspect", "IMAGE...",
    "Print everything known about images: one JSON object, indented; for several images one\n"
    "object a line.",
    "  caisson image inspect alpine:3.20 | jq .config\n"};

}  // namespace

int image_inspect_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, names)) return *done;
  return each_image("image inspect", names, false,
                    [&](Images& images, const std::string& name) -> Result<std::string> {
                      auto info = images.inspect(name);
                      if (!info) return std::move(info.error());
                      const std::string json = image_object(*info);
                      return (names.size() == 1 ? pretty(json) : json) + "\n";
                    });
}

}  // namespace caisson::cli
