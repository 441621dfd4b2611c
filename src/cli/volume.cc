// caisson volume: named directories that outlive boxes.
#include <chrono>
#include <functional>

#include "caisson/runtime.h"
#include "cli/json_output.h"
#include "cli/subcommands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  VolumeSpec spec;
  std::chrono::nanoseconds grace{0};
  bool all = false;
  bool force = false;
  bool quiet = false;
  bool json = false;
};

constexpr CommandText kCreate = {
    "volume create", "[OPTIONS] [NAME]",
    "Make a volume and print its name; without NAME it gets one. Boxes use it with\n"
    "`-v NAME:/PATH`, which also makes it when there is none.",
    "  caisson volume create --label project=web data\n"
    "  caisson run -v data:/data alpine touch /data/f\n"};

Result<> set_size(Settings& into, std::string_view value) {
  auto size = parse_size(value);
  if (!size) return std::move(size.error());
  into.spec.size_bytes = *size;
  return {};
}

Result<> add_label(Settings& into, std::string_view value) {
  const std::size_t equals = value.find('=');
  into.spec.labels[std::string(value.substr(0, equals))] =
      equals == std::string_view::npos ? "" : value.substr(equals + 1);
  return {};
}

constexpr Option<Settings> kCreateOptions[] = {
    {{"--size", "SIZE", "the most that it takes; only root, on XFS or ext4 with prjquota"},
     set_size},
    {{"-l,--label", "K=V", "attach a label"}, add_label},
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

constexpr CommandText kList = {"volume ls", "[OPTIONS]",
                               "List volumes, by name. BOXES is how many boxes use one.",
                               "  caisson volume ls\n"};
constexpr Option<Settings> kListOptions[] = {
    {{"-q,--quiet", "", "print names only"}, set_true<&Settings::quiet>},
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};

constexpr CommandText kInspect = {
    "volume inspect", "NAME...",
    "Print everything known about volumes, their directory among it: a JSON object for each.",
    "  caisson volume inspect data | jq -r .path\n"};

constexpr CommandText kRemove = {
    "volume rm", "[OPTIONS] NAME...",
    "Remove volumes with all that is in them. One that a box uses is refused, also when the box\n"
    "does not run.",
    "  caisson volume rm data\n"};
constexpr Option<Settings> kRemoveOptions[] = {
    {{"-f,--force", "", "say nothing of one that is not there"}, set_true<&Settings::force>},
};

constexpr CommandText kPrune = {
    "volume prune", "[OPTIONS]",
    "Remove every volume that no box uses, with all that is in it, and print their names.",
    "  caisson volume prune --grace 24h\n"};

Result<> set_grace(Settings& into, std::string_view value) {
  auto time = parse_duration(value);
  if (!time) return std::move(time.error());
  into.grace = *time;
  return {};
}

constexpr Option<Settings> kPruneOptions[] = {
    {{"-a,--all", "", "as in docker; says nothing here, all have names"}, set_true<&Settings::all>},
    {{"-f,--force", "", "as in docker; says nothing here, nothing is asked"},
     set_true<&Settings::force>},
    {{"--grace", "TIME", "what is younger stays (0)"}, set_grace},
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

std::string object(const VolumeInfo& info) { return harmless_json(to_json(info)); }

std::string table_of(const std::vector<VolumeInfo>& volumes) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"NAME", "CREATED", "SIZE", "BOXES"});
  for (const VolumeInfo& info : volumes)
    table.add({info.name, relative_time(now, info.created_ns),
               info.size_bytes ? human_size(*info.size_bytes) : "-",
               std::to_string(info.used_by.size())});
  return table.text();
}

int create(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kCreate, kCreateOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (words.size() > 1)
    return fail(usage_error(kCreate.name, "argument_unexpected",
                            "'" + words[1] + "' is one too many, it takes one NAME"),
                settings.json);
  if (!words.empty() && words.front().empty())
    return fail(usage_error(kCreate.name, "name_invalid", "NAME is empty",
                            "leave it out to get one, or give a name"),
                settings.json);
  if (!words.empty()) settings.spec.name = words.front();
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto made = runtime->volumes().create(settings.spec);
  if (!made) return fail(made.error(), settings.json);
  return print((settings.json ? object(*made) : made->name) + "\n");
}

/// Of a command without arguments.
Result<> no_arguments(const CommandText& text, const std::vector<std::string>& words) {
  if (words.empty()) return {};
  return usage_error(text.name, "argument_unexpected", "'" + words.front() + "' says nothing here");
}

int list(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kList, kListOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (auto none = no_arguments(kList, words); !none) return fail(none.error(), settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto volumes = runtime->volumes().list();
  if (!volumes) return fail(volumes.error(), settings.json);
  if (!settings.json && !settings.quiet) return print(table_of(*volumes));
  std::string lines;
  for (const VolumeInfo& info : *volumes)
    lines += (settings.json ? object(info) : info.name) + "\n";
  return print(lines);
}

/// Calls `use` with each name; every one is tried.
int each_name(const CommandText& text, const std::vector<std::string>& names,
              const std::function<Result<std::string>(Volumes, const std::string&)>& use) {
  if (names.empty()) return fail(usage_error(text.name, "argument_missing", "NAME is missing"));
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  int status = 0;
  for (const std::string& name : names) {
    auto shown = use(runtime->volumes(), name);
    const int done = shown ? print(*shown) : fail_box(shown.error());
    if (done == kStatusOutputClosed) return done;
    if (done != 0) status = done;
  }
  return status;
}

int inspect(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kInspect, {}, Order::kAnywhere, args, settings, words))
    return *done;
  return each_name(kInspect, words,
                   [&](Volumes volumes, const std::string& name) -> Result<std::string> {
                     auto info = volumes.find(name);
                     if (!info) return std::move(info.error());
                     return (words.size() == 1 ? pretty(object(*info)) : object(*info)) + "\n";
                   });
}

int remove(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kRemove, kRemoveOptions, Order::kAnywhere, args, settings, words))
    return *done;
  return each_name(kRemove, words,
                   [&](Volumes volumes, const std::string& name) -> Result<std::string> {
                     auto removed = volumes.remove(name);
                     if (removed) return name + "\n";
                     if (settings.force && removed.error().reason == "volume_not_found")
                       return std::string();
                     return std::move(removed.error());
                   });
}

int prune(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kPrune, kPruneOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (auto none = no_arguments(kPrune, words); !none) return fail(none.error(), settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto names = runtime->volumes().prune(settings.grace);
  if (!names) return fail(names.error(), settings.json);
  if (settings.json) return print(deleted_object(*names) + "\n");
  std::string lines;
  for (const std::string& name : *names) lines += name + "\n";
  return print(lines);
}

constexpr Command kCommands[] = {
    {"create", "make a volume", create},
    {"ls", "list volumes", list},
    {"inspect", "print everything known about volumes as JSON", inspect},
    {"rm", "remove volumes", remove},
    {"prune", "remove the volumes that no box uses", prune},
};

}  // namespace

std::span<const Command> volume_commands() { return kCommands; }

int volume_command(Args args) {
  return run_group(
      {"volume", "Volumes: named directories that outlive the boxes that use them.",
       "  caisson volume create data; caisson run -v data:/data alpine ls /data\n", kCommands},
      args);
}

}  // namespace caisson::cli
