// caisson image history: the steps that made an image.
#include <chrono>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/image_text.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool whole = false;
  bool json = false;
};

constexpr CommandText kText = {
    "image history", "[OPTIONS] IMAGE",
    "List the steps that made an image, the last one first, with the size of the layer that each\n"
    "gave as it was fetched.",
    "  caisson image history --no-trunc alpine:3.20\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--no-trunc", "", "do not shorten commands"}, set_true<&Settings::whole>},
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};

struct Step {
  const ImageHistory* line;
  std::uint64_t size;
};

/// Newest first. A step that is no empty layer has the next layer's size.
std::vector<Step> steps_of(const ImageInfo& image) {
  std::vector<Step> steps;
  std::size_t layer = 0;
  for (const ImageHistory& line : image.history) {
    const bool has_layer = !line.empty_layer && layer < image.layers.size();
    steps.push_back({&line, has_layer ? image.layers[layer++].size : 0});
  }
  return {steps.rbegin(), steps.rend()};
}

std::string table_of(const std::vector<Step>& steps, bool whole) {
  constexpr std::size_t kShown = 60;
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"CREATED", "CREATED BY", "SIZE", "COMMENT"});
  for (const Step& step : steps) {
    const auto created = parse_time(step.line->created);
    const std::string command = escape(step.line->created_by);
    table.add({created ? relative_time(now, *created) : "-",
               whole ? command : shorten(command, kShown), human_size(step.size),
               step.line->comment});
  }
  return table.text();
}

}  // namespace

int image_history_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  auto name = only_argument("image history", "IMAGE", names);
  if (!name) return fail(name.error(), settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto image = runtime->images().inspect(*name);
  if (!image) return fail(image.error(), settings.json);
  const std::vector<Step> steps = steps_of(*image);
  if (!settings.json) return print(table_of(steps, settings.whole));
  std::string lines;
  for (const Step& step : steps) lines += history_object(*step.line, step.size) + "\n";
  return print(lines);
}

}  // namespace caisson::cli
