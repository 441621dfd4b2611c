#include "cli/ending.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

/// As the options spell it: "64m", and bytes for what is no whole number of larger units.
std::string size_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "kmgt";
  std::size_t unit = 0;
  for (; unit < kUnits.size() && bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  return std::to_string(bytes) + (unit == 0 ? "" : std::string(1, kUnits[unit - 1]));
}

/// "1.5s", "250ms".
std::string duration_text(std::chrono::nanoseconds time) {
  const bool seconds = time >= std::chrono::seconds(1);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.12g",
                static_cast<double>(time.count()) / (seconds ? 1e9 : 1e6));
  return text.data() + std::string(seconds ? "s" : "ms");
}

using Figure = std::string (*)(const Limits& limits);

struct Ending {
  ExitReason reason;
  std::string_view text;
  Figure figure = nullptr;  ///< the limit's; empty when it is a default
};

constexpr Ending kEndings[] = {
    {ExitReason::kTimeout, "ended by its time limit",
     [](const Limits& l) { return l.wall_time ? duration_text(*l.wall_time) : ""; }},
    {ExitReason::kCpuTime, "ended by its limit of processor time",
     [](const Limits& l) { return l.cpu_time ? duration_text(*l.cpu_time) : ""; }},
    {ExitReason::kOom, "ran out of memory",
     [](const Limits& l) { return l.memory_bytes ? "limit " + size_text(*l.memory_bytes) : ""; }},
    {ExitReason::kPids, "failed after the limit on processes refused one",
     [](const Limits& l) { return l.pids ? "limit " + std::to_string(*l.pids) : ""; }},
    {ExitReason::kOutputLimit, "wrote more than its output limit",
     [](const Limits& l) { return size_text(l.output.max_bytes); }},
    {ExitReason::kDiskFull, "used up its disk limit",
     [](const Limits& l) { return l.disk_bytes ? size_text(*l.disk_bytes) : ""; }},
    {ExitReason::kKilled, "stopped or killed"},
    {ExitReason::kLost, "lost: the process that watched it died, how it ended is not known"},
    {ExitReason::kHibernated, "hibernated: its memory was saved, and it goes on at the next start"},
};

}  // namespace

std::string ending_text(ExitReason reason, const Limits& limits) {
  for (const Ending& ending : kEndings) {
    if (ending.reason != reason) continue;
    const std::string figure = ending.figure != nullptr ? ending.figure(limits) : "";
    return std::string(ending.text) + (figure.empty() ? "" : " (" + figure + ")");
  }
  return {};
}

void tell_ending(std::string_view subject, const ForegroundEnd& end, const Limits& limits) {
  if (!end.exit || (end.asked && end.exit->reason == ExitReason::kKilled)) return;
  const std::string text = ending_text(end.exit->reason, limits);
  if (text.empty()) return;
  // When stderr itself is gone there is nobody left to tell.
  (void)write_all(STDERR_FILENO, "caisson: " + escape(subject) + ": " + text + "\n");
}

}  // namespace caisson::cli
