// caisson fork: new boxes that begin as a box is.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/io.h"

namespace caisson::cli {
namespace {

struct Settings {
  ForkOptions options;
  bool no_start = false;
};

constexpr CommandText kText = {
    "fork", "[OPTIONS] BOX",
    "Make new boxes with the files of BOX and print their ids, one a line. From then on each goes "
    "its\n"
    "own way. They are started if BOX runs; what its processes had in memory is not in them.",
    "  caisson fork --count 3 worker\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-n,--count", "N", "how many (1)"},
     [](Settings& into, std::string_view value) -> Result<> {
       auto count = parse_count(value);
       if (!count) return std::move(count.error());
       if (*count > 1000)
         return cli_error(Code::kInvalidArgument, "option_value_invalid",
                          "parse '" + std::string(value) + "': at most 1000");
       into.options.count = static_cast<unsigned>(*count);
       return {};
     }},
    {{"--snapshot", "NAME", "as this snapshot of BOX kept the files, not as they are now"},
     [](Settings& into, std::string_view value) {
       into.options.snapshot = value;
       return Result<>();
     }},
    {{"--no-start", "", "start none of them"}, set_true<&Settings::no_start>},
};

Result<std::string> fork_box(Box& box, const Settings& settings) {
  auto info = box.info();
  if (!info) return std::move(info.error());
  auto forks = box.fork(settings.options);
  if (!forks) return std::move(forks.error());
  const bool runs = info->state == BoxState::kRunning || info->state == BoxState::kPaused;
  std::string ids;
  for (Box& fork : *forks) {
    ids += fork.id() + "\n";
    if (!runs || settings.no_start) continue;
    // Those that are there are told of; `inspect` tells why this one failed.
    if (auto started = fork.start(); !started) {
      [[maybe_unused]] const int printed = print(ids);
      return std::move(started.error());
    }
  }
  return ids;
}

}  // namespace

int fork_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names))
    return *done;
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto box = only_box("fork", names, *runtime);
  if (!box) return fail(box.error());
  auto ids = fork_box(*box, settings);
  return ids ? print(*ids) : fail(ids.error());
}

}  // namespace caisson::cli
