// caisson logs: the collected output of the main command, each stream to its own. Bytes stay bytes,
// except on a terminal, which would act on them.
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "logs", "BOX",
    "Print the output that the box has kept, within its output limit: its stdout on stdout, its\n"
    "stderr on stderr. A terminal is shown control characters as \\xNN; a pipe or file gets every "
    "byte.",
    "  caisson logs web 2>/dev/null\n"};

/// One of our two outputs.
class LogOutput final {
 public:
  explicit LogOutput(int fd) : fd_(fd) {
    if (::isatty(fd) == 1) terminal_.emplace();
  }
  Result<> add(std::string_view bytes) {
    return write_all(fd_, terminal_ ? terminal_->add(bytes) : std::string(bytes));
  }
  Result<> end() { return write_all(fd_, terminal_ ? terminal_->end() : std::string()); }

 private:
  int fd_;
  std::optional<TerminalText> terminal_;
};

Result<> write_logs(const std::vector<Output>& pieces) {
  LogOutput out(STDOUT_FILENO);
  LogOutput err(STDERR_FILENO);
  for (const Output& piece : pieces) {
    auto written = (piece.stream == Stream::kStdout ? out : err).add(piece.data);
    if (!written) return written;
  }
  auto written = out.end();
  return written ? err.end() : written;
}

Result<int> print_logs(const std::vector<std::string>& names) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = only_box("logs", names, *runtime);
  if (!box) return std::move(box.error());
  auto pieces = box->logs();
  if (!pieces) return std::move(pieces.error());
  auto written = write_logs(*pieces);
  if (written) return 0;
  if (written.error().sys_errno == EPIPE) return kStatusOutputClosed;
  return std::move(written.error());
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
