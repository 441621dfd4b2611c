// caisson prune: remove what nothing uses.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/json_output.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  PruneOptions options;
  bool boxes = false;
  bool force = false;
  bool json = false;
};

constexpr CommandText kText = {
    "prune", "[OPTIONS]",
    "Remove images without a name that no box uses, and what no image has. With --high and --low,\n"
    "when images take more than the one, those not used for longest go until they take the other.",
    "  caisson prune --all\n"
    "  caisson prune --high 20g --low 15g\n"};

template <auto Member>
Result<> put_size(Settings& into, std::string_view value) {
  auto size = parse_size(value);
  if (!size) return std::move(size.error());
  into.options.*Member = *size;
  return {};
}

Result<> put_grace(Settings& into, std::string_view value) {
  auto time = parse_duration(value);
  if (!time) return std::move(time.error());
  into.options.grace = *time;
  return {};
}

constexpr Option<Settings> kOptions[] = {
    {{"-a,--all", "", "every image that no box uses, also with a name"},
     [](Settings& s, std::string_view) { return s.options.all = true, Result<>(); }},
    {{"--boxes", "", "first boxes that do not run, with their files and snapshots"},
     set_true<&Settings::boxes>},
    {{"-f,--force", "", "as in docker; says nothing here, nothing is asked"},
     set_true<&Settings::force>},
    {{"--grace", "TIME", "what no image has stays if it is younger (1h): a pull may need it"},
     put_grace},
    {{"--high", "SIZE", "remove more only when images take more than this"},
     put_size<&PruneOptions::high>},
    {{"--low", "SIZE", "then until they take at most this; default: --high"},
     put_size<&PruneOptions::low>},
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

Result<> check(PruneOptions& options) {
  if (options.low && !options.high) {
    return usage_error("prune", "argument_missing", "--low needs --high");
  }
  if (options.high && !options.low) options.low = options.high;
  if (options.high && *options.low > *options.high) {
    return cli_error(Code::kInvalidArgument, "option_value_invalid",
                     "option '--low': it is more than --high");
  }
  return {};
}

}  // namespace

int prune_command(Args args) {
  Settings settings;
  std::vector<std::string> rest;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, rest)) {
    return *done;
  }
  if (!rest.empty()) {
    return fail(
        usage_error("prune", "argument_unexpected", "'" + rest.front() + "' says nothing here",
                    "caisson rmi IMAGE removes one image"),
        settings.json);
  }
  if (auto fine = check(settings.options); !fine) return fail(fine.error(), settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  std::vector<std::string> boxes;
  if (settings.boxes) {
    auto removed = runtime->prune();
    if (!removed) return fail(removed.error(), settings.json);
    boxes = std::move(*removed);
  }
  auto report = runtime->images().prune(settings.options);
  if (!report) return fail(report.error(), settings.json);
  report->deleted.insert(report->deleted.begin(), boxes.begin(), boxes.end());
  if (settings.json) return print(prune_object(*report) + "\n");
  return print(removed_text({.untagged = {}, .deleted = report->deleted}) + "Freed " +
               human_size(report->freed_bytes) + "\n");
}

}  // namespace caisson::cli
