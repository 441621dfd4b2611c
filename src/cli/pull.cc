// caisson pull: fetch images, verify and unpack them.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/image_text.h"
#include "cli/json_output.h"
#include "cli/puller.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string platform;
  bool quiet = false;
  bool json = false;
};

constexpr CommandText kText = {
    "pull", "[OPTIONS] SOURCE...",
    "Fetch images and print their ids. SOURCE is NAME[:TAG|@DIGEST] or docker://NAME of a\n"
    "registry, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]. What is\n"
    "interrupted goes on with the next pull.",
    "  caisson pull alpine:3.20\n"
    "  caisson pull --platform linux/arm64 oci:build/image:latest\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--platform", "OS/ARCH", "for this platform, e.g. linux/arm64; default: this host's"},
     set_text<&Settings::platform>},
    {{"-q,--quiet", "", "print the ids only"}, set_true<&Settings::quiet>},
    {{"--json", "", "one JSON object a line: what happens, and the image at the end"},
     set_true<&Settings::json>},
};

int pull_one(Images& images, const std::string& source, const Settings& settings) {
  const Show show = settings.json ? Show::kJson : settings.quiet ? Show::kNothing : Show::kProgress;
  auto pulled = pull_images(images, {.source = source, .platform = settings.platform}, show);
  if (!pulled) {
    if (settings.json) (void)print(error_object(pulled.error()) + "\n");
    return fail_box(pulled.error());
  }
  if (pulled->output_closed) return kStatusOutputClosed;
  if (pulled->signal != 0) return report_interrupted(source, pulled->signal, settings.json);
  std::string text;
  for (const ImageInfo& image : pulled->images) {
    text += (settings.json ? pulled_object(image) : image.id) + "\n";
  }
  return print(text);
}

}  // namespace

int pull_command(Args args) {
  Settings settings;
  std::vector<std::string> sources;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, sources)) {
    return *done;
  }
  if (sources.empty()) {
    return fail(usage_error("pull", "argument_missing", "SOURCE is missing"), settings.json);
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  Images images = runtime->images();
  int status = 0;
  for (const std::string& source : sources) {
    const int done = pull_one(images, absolute_source(source, working_directory()), settings);
    if (done > kStatusFailed) return done;  // a signal, or nobody reads the output
    if (done != 0) status = done;
  }
  return status;
}

}  // namespace caisson::cli
