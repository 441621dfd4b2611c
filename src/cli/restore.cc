// caisson restore: a box's files as a snapshot kept them.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/io.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "restore", "BOX SNAPSHOT",
    "Put the files of a box back to what a snapshot kept; what was written since is gone. A box "
    "that\n"
    "runs is killed and started again. A crash leaves the old files or the new ones, never a mix.",
    "  caisson restore worker before-upgrade\n"};

}  // namespace

int restore_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, words)) return *done;
  if (words.size() < 2)
    return fail(usage_error("restore", "argument_missing",
                            words.empty() ? "BOX is missing" : "SNAPSHOT is missing"));
  if (words.size() > 2)
    return fail(usage_error("restore", "argument_unexpected",
                            "'" + words[2] + "' is one too many, it takes one SNAPSHOT"));
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto box = runtime->find(words[0]);
  if (!box) return fail(box.error());
  auto restored = box->restore(words[1]);
  return restored ? print(words[0] + "\n") : fail(restored.error());
}

}  // namespace caisson::cli
