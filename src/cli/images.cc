// caisson images: the images of this home, and what they take.
#include <algorithm>
#include <chrono>
#include <optional>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/image_text.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool all = false;
  bool quiet = false;
  bool whole = false;
  bool json = false;
  std::vector<std::string> references;
  std::optional<bool> dangling;
};

constexpr CommandText kText = {
    "images", "[OPTIONS] [NAME...]",
    "List images, newest first. SIZE is what an image takes on disk, UNIQUE what of it no other\n"
    "image uses: removing it frees that much.",
    "  caisson images --filter 'reference=alpine:3.*'\n"
    "  caisson rmi $(caisson images -q --filter dangling=true)\n"};

Result<> add_filter(Settings& into, std::string_view value) {
  constexpr std::string_view kReference = "reference=";
  constexpr std::string_view kDangling = "dangling=";
  if (value.starts_with(kReference)) {
    into.references.emplace_back(value.substr(kReference.size()));
    return {};
  }
  if (value == "dangling=true" || value == "dangling=false") {
    into.dangling = value.substr(kDangling.size()) == "true";
    return {};
  }
  return cli_error(Code::kInvalidArgument, "option_value_invalid",
                   "parse '" + std::string(value) + "': not reference=GLOB or dangling=true|false");
}

constexpr Option<Settings> kOptions[] = {
    {{"-a,--all", "", "as in docker; says nothing here, every image is listed"},
     set_true<&Settings::all>},
    {{"-q,--quiet", "", "print whole ids only"}, set_true<&Settings::quiet>},
    {{"--filter", "K=V", "reference=GLOB: of such a name; dangling=true: without one"}, add_filter},
    {{"--no-trunc", "", "do not shorten ids"}, set_true<&Settings::whole>},
    {{"--json", "", "one JSON object a line, as image inspect prints it"},
     set_true<&Settings::json>},
};

bool fits(const std::string& name, const Settings& settings) {
  return settings.references.empty() ||
         std::ranges::any_of(settings.references,
                             [&](const std::string& glob) { return name_matches(name, glob); });
}

bool fits(const ImageInfo& image, const Settings& settings) {
  if (settings.dangling && *settings.dangling != image.names.empty()) return false;
  return settings.references.empty() ||
         std::ranges::any_of(image.names, [&](const auto& name) { return fits(name, settings); });
}

std::string table_of(const std::vector<ImageInfo>& images, const Settings& settings) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"NAME", "TAG", "IMAGE ID", "CREATED", "SIZE", "UNIQUE"});
  const auto add = [&](const ImageInfo& image, const std::string& name, const std::string& tag) {
    const auto created = parse_time(image.created);
    table.add({name, tag, settings.whole ? image.id : short_digest(image.id),
               created ? relative_time(now, *created) : "-", human_size(image.disk_bytes),
               human_size(image.own_bytes)});
  };
  for (const ImageInfo& image : images) {
    if (image.names.empty()) add(image, "<none>", "<none>");
    for (const std::string& name : image.names) {
      if (!fits(name, settings)) continue;
      auto [repository, tag] = name_and_tag(name);
      add(image, repository, tag);
    }
  }
  return table.text() + counted(images.size(), "image") + ", " + human_size(total_on_disk(images)) +
         " on disk\n";
}

}  // namespace

int images_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  settings.references.insert(settings.references.end(), rest.begin(), rest.end());  // as docker's
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto images = runtime->images().list();
  if (!images) return fail(images.error(), settings.json);
  std::erase_if(*images, [&](const ImageInfo& image) { return !fits(image, settings); });
  if (!settings.quiet && !settings.json) return print(table_of(*images, settings));
  std::string lines;
  for (const ImageInfo& image : *images) {
    lines += (settings.json ? image_object(image) : image.id) + "\n";
  }
  return print(lines);
}

}  // namespace caisson::cli
