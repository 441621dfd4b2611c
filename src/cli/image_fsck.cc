// caisson image fsck: everything against its digest.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool json = false;
};

constexpr CommandText kText = {
    "image fsck", "[OPTIONS]",
    "Check every image of this home: documents and blobs against their digests, unpacked layers\n"
    "against their blobs. Nothing is changed. The exit status is 1 when something is wrong.",
    "  caisson image fsck --json | jq .problems\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

std::string text_of(const FsckReport& report) {
  std::string text;
  for (const FsckProblem& problem : report.problems) {
    text += escape(problem.object) + ": " + escape(problem.text) + "\n";
  }
  return text + counted(report.images, "image") + ", " + counted(report.blobs, "blob") + ", " +
         counted(report.layers, "layer") + " looked at; " +
         (report.problems.empty() ? "all is well" : counted(report.problems.size(), "problem")) +
         "\n";
}

}  // namespace

int image_fsck_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  if (!rest.empty()) {
    return fail(usage_error("image fsck", "argument_unexpected",
                            "'" + rest.front() + "' says nothing here, every image is checked"),
                settings.json);
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto report = runtime->images().fsck();
  if (!report) return fail(report.error(), settings.json);
  const int printed = print(settings.json ? fsck_object(*report) + "\n" : text_of(*report));
  return printed != 0 || report->problems.empty() ? printed : kStatusBoxFailed;
}

}  // namespace caisson::cli
