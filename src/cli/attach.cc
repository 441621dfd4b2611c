// caisson attach: join the main command of a running box.
#include "caisson/runtime.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool no_input = false;
};

constexpr CommandText kText = {
    "attach", "[OPTIONS] BOX",
    "Show the output of a running box from now on and pass signals to it; stdin too when the box\n"
    "was created with -i. When the output is closed the box goes on.",
    "  caisson attach web\n"};

constexpr Option<Settings> kOptions[] = {
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
  auto exec = box->attach();
  if (!exec) return std::move(exec.error());
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
