// caisson run: create, start, carry the streams, report how it ended.
#include "caisson/runtime.h"
#include "cli/attached.h"
#include "cli/box_options.h"
#include "cli/commands.h"
#include "cli/ending.h"
#include "cli/foreground.h"
#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/new_box.h"
#include "cli/report.h"

namespace caisson::cli {
namespace {

constexpr CommandText kText = {
    "run", "[OPTIONS] [-f FILE] [SOURCE [--] [COMMAND [ARGUMENT...]]]",
    "Create a box from SOURCE and run COMMAND in it; without COMMAND the image's own. SOURCE is\n"
    "host:, dir:PATH or an image: NAME[:TAG], docker://NAME, oci:DIR, oci-archive:FILE or\n"
    "docker-archive:FILE. Options stand before SOURCE; everything after it belongs to COMMAND. "
    "With\n"
    "-f a file describes the box; what the command line says replaces it or adds to it. The exit\n"
    "status is the command's own, 128 + signal, 124 on a time limit, 125 when Caisson failed, 126 "
    "or\n"
    "127 when COMMAND cannot run.",
    "  caisson run host: -- python3 -c 'print(6*7)'\n"
    "  caisson run --rm -it alpine:3.20 -- sh\n"
    "  caisson run --rm -m 256m --timeout 10s -v $PWD:/workspace host: -- make test\n"
    "  caisson run --rm -f box.yaml\n"};

// --rm: the box goes on every path out of the command.
class RemoveAtEnd {
 public:
  RemoveAtEnd(Box& box, bool active) : box_(box), active_(active) {}
  RemoveAtEnd(const RemoveAtEnd&) = delete;
  RemoveAtEnd& operator=(const RemoveAtEnd&) = delete;
  ~RemoveAtEnd() {
    if (!active_) return;
    auto removed = box_.remove(true);
    // The end of an --rm box removes it as well; who came first does not matter.
    if (!removed && removed.error().code != Code::kNotFound) fail(removed.error());
  }
  void dismiss() { active_ = false; }

 private:
  Box& box_;
  bool active_;
};

Result<ForegroundEnd> show(Exec& exec, SignalCatcher& signals, const BoxOptions& options) {
  auto stop_signal = stop_signal_of(options.spec);
  if (!stop_signal) return std::move(stop_signal.error());
  return run_foreground(exec, signals,
                        {.input = options.spec.open_stdin,
                         .tty = options.spec.tty,
                         .stop_signal = *stop_signal,
                         .capture = options.json,
                         .capture_max_bytes = options.spec.limits.output.max_bytes});
}

int report(const Box& box, const BoxInfo& info, ForegroundEnd end, const BoxOptions& options) {
  const int status = exit_status(end);
  if (!options.json) tell_ending("box '" + box.id() + "'", end, options.spec.limits);
  if (!options.json || !end.exit) return status;
  const int printed = print(run_object({.id = box.id(),
                                        .name = options.spec.name,
                                        .out = std::move(end.out),
                                        .err = std::move(end.err),
                                        .exit = *end.exit,
                                        .stages = info.stages,
                                        .warnings = info.warnings}) +
                            "\n");
  return printed != 0 ? printed : status;
}

Result<int> run_attached(Box& box, const BoxOptions& options) {
  auto signals = SignalCatcher::install();
  RemoveAtEnd remove(box, options.spec.auto_remove);
  if (!signals) return std::move(signals.error());
  auto exec = box.start_attached();
  if (!exec) return std::move(exec.error());
  // Read while the command runs: with --rm nothing is left to ask later.
  auto info = box.info();
  if (!info) info = BoxInfo{};
  if (!options.json) warn(info->warnings);
  auto end = show(*exec, *signals, options);
  if (!end) {
    (void)box.kill();  // nobody watches it any more; the first failure is the one to report
    return std::move(end.error());
  }
  return report(box, *info, *std::move(end), options);
}

Result<int> run_detached(Box& box, const BoxOptions& options) {
  RemoveAtEnd remove(box, options.spec.auto_remove);
  auto started = box.start();
  if (!started) return std::move(started.error());
  remove.dismiss();
  if (auto info = box.info(); info && !options.json) warn(info->warnings);
  return print_box(box, options);
}

Result<int> run_box(BoxOptions& options) {
  if (!options.detach) {
    auto terminal = require_terminal(options.spec.open_stdin, options.spec.tty);
    if (!terminal) return std::move(terminal.error());
  }
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  if (auto status = pull_source(*runtime, options)) return *status;
  auto box = new_box(*runtime, options);
  if (!box) return std::move(box.error());
  return options.detach ? run_detached(*box, options) : run_attached(*box, options);
}

}  // namespace

int run_command(Args args) {
  BoxOptions options;
  if (auto done = parse_box(kText, args, options)) return *done;
  auto status = run_box(options);
  return status ? *status : fail(status.error(), options.json);
}

}  // namespace caisson::cli
