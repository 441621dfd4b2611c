#include "sys/cgroup_control.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/format.h"

namespace caisson::sys {
namespace {

constexpr std::uint64_t kPeriodUs = 100'000;  // the kernel's default
constexpr std::uint64_t kLongestPeriodUs = 1'000'000;
constexpr std::uint64_t kSmallestQuotaUs = 1'000;  // the kernel refuses less
constexpr double kFewestCpus = 0.001, kMostCpus = 1e6;

Error bad_limit(std::string_view what, std::string_view value, std::string_view why) {
  return make_error(Code::kInvalidArgument, "limit_invalid",
                    format("set {} limit '{}': {}", what, value, why));
}

}  // namespace

Result<> validate(const CgroupLimits& limits) {
  if (limits.memory_bytes == 0u) return bad_limit("memory", "0", "must be greater than zero");
  if (limits.pids == 0u) return bad_limit("pids", "0", "must be greater than zero");
  if (limits.cpu_weight && (*limits.cpu_weight < 1 || *limits.cpu_weight > 10'000))
    return bad_limit("cpu weight", format("{}", *limits.cpu_weight), "must be from 1 to 10000");
  // Negated so that NaN is refused as well.
  if (limits.cpus && !(*limits.cpus >= kFewestCpus && *limits.cpus <= kMostCpus))
    return bad_limit("cpus", format("{}", *limits.cpus), "must be from 0.001 to 1000000");
  return {};
}

CpuQuota cpu_quota(double cpus) {
  const auto share = [&](std::uint64_t period) {
    return static_cast<std::uint64_t>(std::llround(cpus * static_cast<double>(period)));
  };
  if (share(kPeriodUs) >= kSmallestQuotaUs) return {share(kPeriodUs), kPeriodUs};
  return {std::max(share(kLongestPeriodUs), kSmallestQuotaUs), kLongestPeriodUs};
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> flat_value(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      return parse_number(line.substr(key.size() + 1));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace caisson::sys
