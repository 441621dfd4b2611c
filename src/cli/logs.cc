// caisson logs: the collected output of the main command, each stream to its own. Bytes stay bytes,
// except on a terminal, which would act on them.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "cli/commands.h"
#include "cli/each_box.h"
#include "cli/image_text.h"
#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  LogOptions options;
  bool timestamps = false;
};

constexpr CommandText kText = {
    "logs", "[OPTIONS] BOX",
    "Print the output that the box has kept, within its output limit: its stdout on stdout, its\n"
    "stderr on stderr. A terminal is shown control characters as \\xNN; a pipe or file gets every "
    "byte.",
    "  caisson logs web 2>/dev/null\n  caisson logs -f --since 10m --tail 20 web\n"};

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<> put_since(Settings& into, std::string_view value) {
  if (const auto time = parse_time(value)) {
    into.options.since_ns = time;
    return {};
  }
  auto ago = parse_duration(value);
  if (!ago) {
    return cli_error(Code::kInvalidArgument, "option_value_invalid",
                     "parse '" + std::string(value) + "': neither a time nor a duration",
                     "write it like 10m or 2026-11-28T10:25:43Z");
  }
  into.options.since_ns = now_ns() - ago->count();
  return {};
}

Result<> put_tail(Settings& into, std::string_view value) {
  if (value == "all") return into.options.tail.reset(), Result<>();
  auto lines = parse_count(value);
  if (!lines) return std::move(lines.error());
  into.options.tail = *lines;
  return {};
}

constexpr Option<Settings> kOptions[] = {
    {{"-f,--follow", "", "go on with what comes, until the box ends"},
     [](Settings& s, std::string_view) { return s.options.follow = true, Result<>(); }},
    {{"--since", "TIME", "only since then: 10m ago, or 2026-11-28T10:25:43Z"}, put_since},
    {{"-n,--tail", "LINES", "of what is there, only the last lines"}, put_tail},
    {{"-t,--timestamps", "", "begin each line with the time when it was read"},
     set_true<&Settings::timestamps>},
};

/// One of our two outputs.
class LogOutput final {
 public:
  LogOutput(int fd, bool timestamps) : fd_(fd), timestamps_(timestamps) {
    if (::isatty(fd) == 1) terminal_.emplace();
  }
  Result<> add(const LogRecord& record) {
    return write(timestamps_ ? with_times(record) : record.data);
  }
  Result<> end() { return write_all(fd_, terminal_ ? terminal_->end() : std::string()); }

 private:
  std::string with_times(const LogRecord& record) {
    std::string out;
    for (const char c : record.data) {
      if (std::exchange(at_start_, c == '\n')) out += time_text(record.time_ns) + " ";
      out += c;
    }
    return out;
  }
  Result<> write(std::string_view bytes) {
    return write_all(fd_, terminal_ ? terminal_->add(bytes) : std::string(bytes));
  }

  int fd_;
  bool timestamps_;
  bool at_start_ = true;
  std::optional<TerminalText> terminal_;
};

Result<> write_log(LogStream& log, bool timestamps) {
  LogOutput out(STDOUT_FILENO, timestamps);
  LogOutput err(STDERR_FILENO, timestamps);
  for (;;) {
    auto record = log.next();
    if (!record) return std::move(record.error());
    if (!*record) break;
    auto written = ((*record)->stream == Stream::kStdout ? out : err).add(**record);
    if (!written) return written;
  }
  auto written = out.end();
  return written ? err.end() : written;
}

Result<int> print_logs(const std::vector<std::string>& names, const Settings& settings) {
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto box = only_box("logs", names, *runtime);
  if (!box) return std::move(box.error());
  auto log = box->log(settings.options);
  if (!log) return std::move(log.error());
  auto written = write_log(*log, settings.timestamps);
  if (written) return 0;
  if (written.error().sys_errno == EPIPE) return kStatusOutputClosed;
  return std::move(written.error());
}

}  // namespace

int logs_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names)) {
    return *done;
  }
  auto status = print_logs(names, settings);
  if (status) return *status;
  fail(status.error());
  return names.size() == 1 ? kStatusBoxFailed : kStatusFailed;
}

}  // namespace caisson::cli
