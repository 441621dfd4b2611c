// caisson snapshot: keep what a box's files are, and look at what was kept.
#include <chrono>

#include "cli/each_box.h"
#include "cli/json_output.h"
#include "cli/subcommands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string note;
  bool memory = false;
  bool json = false;
  bool quiet = false;
};

constexpr CommandText kCreate = {
    "snapshot create", "[OPTIONS] BOX [NAME]",
    "Keep the files of a box as they are now, and print the snapshot's name. A box that runs "
    "stands\n"
    "still for it. Volumes and what is in memory (tmpfs, /tmp of host:) are no part of it; of a\n"
    "microVM that shows no files of the host, --memory keeps everything that runs in it too.",
    "  caisson snapshot create worker before-upgrade\n"};
constexpr Option<Settings> kCreateOptions[] = {
    {{"-m,--note", "TEXT", "what it is for"}, set_text<&Settings::note>},
    {{"--memory", "", "with the memory of a microVM: its processes go on"},
     set_true<&Settings::memory>},
    {{"--json", "", "print one JSON object"}, set_true<&Settings::json>},
};

constexpr CommandText kList = {"snapshot ls", "[OPTIONS] BOX",
                               "List the snapshots of a box, oldest first.",
                               "  caisson snapshot ls worker\n"};
constexpr Option<Settings> kListOptions[] = {
    {{"-q,--quiet", "", "print names only"}, set_true<&Settings::quiet>},
    {{"--json", "", "one JSON object a line"}, set_true<&Settings::json>},
};

constexpr CommandText kInspect = {"snapshot inspect", "BOX NAME...",
                                  "Print everything known about snapshots: a JSON object for each.",
                                  "  caisson snapshot inspect worker before-upgrade\n"};

constexpr CommandText kRemove = {
    "snapshot rm", "BOX NAME...",
    "Remove snapshots. What other snapshots and boxes share with them stays.",
    "  caisson snapshot rm worker before-upgrade\n"};

std::string object(const SnapshotInfo& info) { return harmless_json(to_json(info)); }

std::string table_of(const std::vector<SnapshotInfo>& snapshots) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  Table table({"NAME", "CREATED", "SIZE", "NOTE"});
  for (const SnapshotInfo& info : snapshots)
    table.add({info.name, relative_time(now, info.created_ns), human_size(info.bytes),
               escape(info.note)});
  return table.text();
}

/// The box that the first word names; the rest stays.
Result<Box> first_box(const CommandText& text, Runtime& runtime, std::vector<std::string>& words) {
  if (words.empty()) return usage_error(text.name, "argument_missing", "BOX is missing");
  auto box = runtime.find(words.front());
  words.erase(words.begin());
  return box;
}

int create(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kCreate, kCreateOptions, Order::kAnywhere, args, settings, words))
    return *done;
  if (words.size() > 2)
    return fail(usage_error(kCreate.name, "argument_unexpected",
                            "'" + words[2] + "' is one too many, it takes one NAME"),
                settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto box = first_box(kCreate, *runtime, words);
  if (!box) return fail(box.error(), settings.json);
  auto made = box->snapshot(words.empty() ? "" : words.front(), settings.note, settings.memory);
  if (!made) return fail(made.error(), settings.json);
  return print((settings.json ? object(*made) : made->name) + "\n");
}

int list(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kList, kListOptions, Order::kAnywhere, args, settings, words))
    return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  auto box = only_box(kList.name, words, *runtime);
  if (!box) return fail(box.error(), settings.json);
  auto snapshots = box->snapshots();
  if (!snapshots) return fail(snapshots.error(), settings.json);
  if (!settings.json && !settings.quiet) return print(table_of(*snapshots));
  std::string lines;
  for (const SnapshotInfo& info : *snapshots)
    lines += (settings.json ? object(info) : info.name) + "\n";
  return print(lines);
}

/// Calls `use` with each name; every one is tried.
int each_name(const CommandText& text, Args args,
              const std::function<Result<std::string>(Box&, const std::string&)>& use) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(text, {}, Order::kAnywhere, args, settings, words)) return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto box = first_box(text, *runtime, words);
  if (!box) return fail(box.error());
  if (words.empty()) return fail(usage_error(text.name, "argument_missing", "NAME is missing"));
  int status = 0;
  for (const std::string& name : words) {
    auto shown = use(*box, name);
    const int done = shown ? print(*shown) : fail_box(shown.error());
    if (done != 0) status = done;
  }
  return status;
}

int inspect(Args args) {
  return each_name(kInspect, args, [](Box& box, const std::string& name) -> Result<std::string> {
    auto info = box.find_snapshot(name);
    if (!info) return std::move(info.error());
    return pretty(object(*info)) + "\n";
  });
}

int remove(Args args) {
  return each_name(kRemove, args, [](Box& box, const std::string& name) -> Result<std::string> {
    auto removed = box.remove_snapshot(name);
    if (!removed) return std::move(removed.error());
    return name + "\n";
  });
}

constexpr Command kCommands[] = {
    {"create", "keep the files of a box as they are now", create},
    {"ls", "list the snapshots of a box", list},
    {"inspect", "print everything known about snapshots as JSON", inspect},
    {"rm", "remove snapshots", remove},
};

}  // namespace

std::span<const Command> snapshot_commands() { return kCommands; }

int snapshot_command(Args args) {
  return run_group(
      {"snapshot", "Snapshots of boxes: `caisson restore` and `caisson fork` use them.",
       "  caisson snapshot create worker s1; caisson restore worker s1\n", kCommands},
      args);
}

}  // namespace caisson::cli
