// caisson start: start boxes in the background, or one in the foreground.
#include "caisson/runtime.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool attach = false;
  bool interactive = false;
};

constexpr CommandText kText = {
    "start", "[OPTIONS] BOX...",
    "Start boxes and print their names. With -a one box runs in the foreground, as with run.",
    "  b=$(caisson create -i host: -- cat)\n"
    "  echo hello | caisson start -ai $b\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-a,--attach", "", "show the output, pass signals, exit with the command's status"},
     set_true<&Settings::attach>},
    {{"-i,--interactive", "", "connect standard input (box created with -i); implies -a"},
     set_true<&Settings::interactive>},
};

Result<int> start_attached(const Settings& settings, const std::vector<std::string>& names) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = only_box("start", names, *runtime);
  if (!box) return std::move(box.error());
  auto signals = SignalCatcher::install();
  if (!signals) return std::move(signals.error());
  auto exec = box->start_attached();
  if (!exec) return std::move(exec.error());
  auto info = box->info();
  if (!info) return std::move(info.error());
  warn(info->warnings);
  return show_main(*box, info->spec, *exec, *signals, settings.interactive, true);
}

}  // namespace

int start_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  if (settings.attach || settings.interactive) {
    auto status = start_attached(settings, names);
    return status ? *status : fail(status.error());
  }
  return each_box("start", names, [](Box& box, const std::string& name) -> Result<std::string> {
    auto started = box.start();
    if (!started) return std::move(started.error());
    if (auto info = box.info()) warn(info->warnings);
    return name + "\n";
  });
}

}  // namespace caisson::cli
