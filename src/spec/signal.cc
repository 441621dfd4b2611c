#include "spec/signal.h"

#include <array>
#include <optional>

#include "caisson/spec.h"
#include "spec/text.h"

namespace caisson {
namespace {

// The numbers of signal(7) for x86, ARM and most other architectures; the index is the number.
constexpr std::array<std::string_view, 32> kNames = {
    "",     "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};

// glibc keeps 32 and 33 for its threads, so the first real-time signal that a program sees is 34.
constexpr int kRealTimeMin = 34;
constexpr int kRealTimeMax = 64;

std::optional<int> find_alias(std::string_view name) {
  if (name == "IOT") return 6;
  if (name == "CLD") return 17;
  if (name == "POLL") return 29;
  return std::nullopt;
}

std::optional<int> find_real_time(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return std::nullopt;
  const int start = from_min ? kRealTimeMin : kRealTimeMax;
  name.remove_prefix(5);
  if (name.empty()) return start;
  if (name.front() != (from_min ? '+' : '-')) return std::nullopt;
  const std::optional<std::uint64_t> offset = spec::to_unsigned(name.substr(1));
  if (!offset || *offset > kRealTimeMax - kRealTimeMin) return std::nullopt;
  return from_min ? start + static_cast<int>(*offset) : start - static_cast<int>(*offset);
}

std::optional<int> find_signal(std::string_view text) {
  if (const auto number = spec::to_unsigned(text)) {
    if (*number < 1 || *number > kRealTimeMax) return std::nullopt;
    return static_cast<int>(*number);
  }
  std::string name(text);
  for (char& c : name)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (name.empty()) return std::nullopt;
  for (std::size_t i = 1; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<int>(i);
  if (const auto alias = find_alias(name)) return alias;
  return find_real_time(name);
}

}  // namespace

namespace spec {

std::string signal_name(int number) {
  if (number >= 1 && number < static_cast<int>(kNames.size()))
    return format("SIG{}", kNames[static_cast<std::size_t>(number)]);
  if (number == kRealTimeMin) return "SIGRTMIN";
  if (number > kRealTimeMin && number <= kRealTimeMax)
    return format("SIGRTMIN+{}", number - kRealTimeMin);
  return format("{}", number);
}

}  // namespace spec

Result<int> parse_signal(std::string_view text) {
  if (const std::optional<int> number = find_signal(text)) return *number;
  return spec::invalid("signal_invalid",
                       format("parse signal {}: no such signal", spec::quote(text)),
                       "use a name such as TERM or a number from 1 to 64");
}

}  // namespace caisson
