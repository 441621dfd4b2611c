// caisson diff: what a box has changed.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string snapshot;
};

constexpr CommandText kText = {
    "diff", "[OPTIONS] BOX",
    "List what distinguishes the files of a box from those of its image: A added, C changed,\n"
    "D deleted.",
    "  caisson diff worker\n  caisson diff --since before-upgrade worker\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--since", "SNAPSHOT", "from those of a snapshot instead"}, set_text<&Settings::snapshot>},
};

}  // namespace

int diff_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names))
    return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto box = only_box("diff", names, *runtime);
  if (!box) return fail(box.error());
  auto changes = box->diff(settings.snapshot);
  if (!changes) return fail(changes.error());
  std::string lines;
  for (const Change& change : *changes)
    lines += std::string(1, static_cast<char>(change.kind)) + " " + escape(change.path) + "\n";
  return print(lines);
}

}  // namespace caisson::cli
