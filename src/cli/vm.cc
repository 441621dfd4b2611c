// caisson vm: the saved machines that microVMs go on from.
#include <chrono>
#include <nlohmann/json.hpp>

#include "caisson/runtime.h"
#include "cli/box_options.h"
#include "cli/json_output.h"
#include "cli/new_box.h"
#include "cli/report.h"
#include "cli/subcommands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool quiet = false;
  bool json = false;
  bool force = false;
};

constexpr CommandText kWarm = {
    "vm warm", "[OPTIONS] [SOURCE]",
    "Make what microVMs of this kind begin from, so that already the first one starts fast. It "
    "takes\n"
    "the options of `run`; what a box runs, its environment and its name say nothing. Without "
    "SOURCE\n"
    "it serves boxes of every image with this memory and these processors, which have then only\n"
    "their root to set up. Until the host boots again, or the guest or QEMU changes.",
    "  caisson vm warm --memory 512m --cpus 2 alpine\n"
    "  caisson run --isolation microvm --memory 512m --cpus 2 alpine true\n"};

constexpr CommandText kList = {
    "vm ls", "[OPTIONS]",
    "List the saved machines, used last first. SOURCE is what the box is from that one has; those\n"
    "without serve every image. MEMORY is the machine's: the limit and what the kernel takes.",
    "  caisson vm ls\n"};
constexpr Option<Settings> kListOptions[] = {
    {{"-q,--quiet", "", "print names only"}, set_true<&Settings::quiet>},
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};

constexpr CommandText kPrune = {
    "vm prune", "[OPTIONS]",
    "Remove the saved machines, and print their names. Boxes that run are not disturbed; the next\n"
    "one of each kind boots, and saves it anew.",
    "  caisson vm prune\n"};
constexpr Option<Settings> kPruneOptions[] = {
    {{"-f,--force", "", "as in docker; says nothing here, nothing is asked"},
     set_true<&Settings::force>},
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

int warm(Args args) {
  BoxOptions options;
  options.words_optional = true;
  if (auto done = parse_box(kWarm, args, options)) return *done;
  if (options.detach || !options.id_file.empty())
    return fail(
        usage_error(kWarm.name, "option_unknown", "no box is left: -d and --cidfile say nothing"),
        options.json);
  if (options.spec.isolation == Isolation::kContainer)  // which is what nobody has said, too
    options.spec.isolation = Isolation::kMicroVm;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), options.json);
  if (!options.spec.source.empty())
    if (auto status = pull_source(*runtime, options)) return *status;
  auto warnings = runtime->templates().warm(options.spec);
  if (!warnings) return fail(warnings.error(), options.json);
  warn(*warnings);
  return options.json ? print(harmless_json(nlohmann::json{{"warnings", *warnings}}.dump()) + "\n")
                      : 0;
}

std::string table_of(const std::vector<TemplateInfo>& templates) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"NAME", "CPUS", "MEMORY", "SOURCE", "USED", "SIZE"});
  for (const TemplateInfo& info : templates)
    table.add({info.name, std::to_string(info.cpus), human_size(info.memory_bytes),
               info.source.empty() ? "-" : info.source, relative_time(now, info.used_ns),
               human_size(info.size_bytes)});
  return table.text();
}

/// Of a command without arguments: what to leave with.
std::optional<int> parse_alone(const CommandText& text, std::span<const Option<Settings>> options,
                               Args args, Settings& into) {
  std::vector<std::string> words;
  if (auto done = parse<Settings>(text, options, Order::kAnywhere, args, into, words)) return done;
  if (words.empty()) return std::nullopt;
  return fail(
      usage_error(text.name, "argument_unexpected", "'" + words.front() + "' says nothing here"),
      into.json);
}

int list(Args args) {
  Settings settings;
  if (auto done = parse_alone(kList, kListOptions, args, settings)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto templates = runtime->templates().list();
  if (!templates) return fail(templates.error(), settings.json);
  if (!settings.json && !settings.quiet) return print(table_of(*templates));
  std::string lines;
  for (const TemplateInfo& info : *templates)
    lines += (settings.json ? harmless_json(to_json(info)) : info.name) + "\n";
  return print(lines);
}

int prune(Args args) {
  Settings settings;
  if (auto done = parse_alone(kPrune, kPruneOptions, args, settings)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto names = runtime->templates().prune();
  if (!names) return fail(names.error(), settings.json);
  if (settings.json) return print(deleted_object(*names) + "\n");
  std::string lines;
  for (const std::string& name : *names) lines += name + "\n";
  return print(lines);
}

constexpr Command kCommands[] = {
    {"warm", "make what microVMs of a kind begin from", warm},
    {"ls", "list the saved machines", list},
    {"prune", "remove the saved machines", prune},
};

}  // namespace

std::span<const Command> vm_commands() { return kCommands; }

int vm_command(Args args) {
  return run_group({"vm", "The saved machines that microVMs go on from instead of booting.",
                    "  caisson vm warm alpine; caisson vm ls\n", kCommands},
                   args);
}

}  // namespace caisson::cli
