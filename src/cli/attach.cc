// caisson attach: join the main command of a running box.
#include "caisson/runtime.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/ending.h"
#include "cli/foreground.h"

namespace caisson::cli {
namespace {

struct Settings {
  AttachOptions attach;
  bool no_input = false;
  bool replay = false;
};

constexpr CommandText kText = {
    "attach", "[OPTIONS] BOX",
    "Show the output of a running box from now on and pass signals to it; stdin too when the box\n"
    "was created with -i. When the output is closed the box goes on.",
    "  caisson attach web\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--exec", "ID", "a command of exec --replay instead"},
     [](Settings& o, std::string_view v) {
       auto id = parse_count(v);
       if (!id) return Result<>(std::move(id.error()));
       if (*id == 0 || *id > UINT32_MAX) return Result<>(parse_count("").error());
       o.attach.exec = static_cast<std::uint32_t>(*id);
       return Result<>();
     }},
    {{"--replay", "", "first show the output that is kept"}, set_true<&Settings::replay>},
    {{"--no-stdin", "", "leave standard input alone"}, set_true<&Settings::no_input>},
};

Result<int> attach(const Settings& settings, const std::vector<std::string>& names) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = only_box("attach", names, *runtime);
  if (!box) return std::move(box.error());
  auto info = box->info();
  if (!info) return std::move(info.error());
  auto signals = SignalCatcher::install();
  if (!signals) return std::move(signals.error());
  AttachOptions options = settings.attach;
  if (settings.replay) options.stdout_offset = options.stderr_offset = 0;
  auto exec = box->attach(options);
  if (!exec) return std::move(exec.error());
  if (options.exec) {
    auto end = run_foreground(*exec, *signals, {.end_process_with_us = false});
    if (!end) return std::move(end.error());
    return exit_status(*end);
  }
  return show_main(*box, info->spec, *exec, *signals, !settings.no_input, false);
}

}  // namespace

int attach_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  auto status = attach(settings, names);
  return status ? *status : fail(status.error());
}

}  // namespace caisson::cli
