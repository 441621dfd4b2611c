// caisson logs: the collected output of the main command, each stream to its own.
#include <cerrno>

#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/sink.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "logs", "BOX",
    "Print the output that the box has kept, within its output limit: its stdout on stdout, its\n"
    "stderr on stderr.",
    "  caisson logs web 2>/dev/null\n"};

Result<int> print_logs(const std::vector<std::string>& names) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = only_box("logs", names, *runtime);
  if (!box) return std::move(box.error());
  auto pieces = box->logs();
  if (!pieces) return std::move(pieces.error());
  StandardSink sink;
  for (const Output& piece : *pieces) {
    auto written = write_all(sink.fd(piece.stream), piece.data);
    if (written) continue;
    if (written.error().sys_errno == EPIPE) return kStatusOutputClosed;
    return std::move(written.error());
  }
  return 0;
}

}  // namespace

int logs_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, names)) return *done;
  auto status = print_logs(names);
  if (status) return *status;
  fail(status.error());
  return names.size() == 1 ? kStatusBoxFailed : kStatusFailed;
}

}  // namespace caisson::cli
