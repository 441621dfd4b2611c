#include <limits>

#include "spec/checks.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

// The kernel keeps sizes in signed 64-bit numbers, and a tmpfs size near 2^64 would wrap to 0,
// which means "without limit".
constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

template <class T>
Result<> check_range(std::string_view name, const std::optional<T>& value, T least, T most) {
  // Written so that NaN is refused.
  if (!value || (*value >= least && *value <= most)) return {};
  return invalid("limit_invalid",
                 format("validate limit '{}': {} is not from {} to {}", name, *value, least, most));
}

Result<> check_positive(std::string_view name,
                        const std::optional<std::chrono::nanoseconds>& value) {
  if (!value || value->count() > 0) return {};
  return invalid("limit_invalid", format("validate limit '{}': not longer than zero", name));
}

}  // namespace

Result<> check_limits(const Limits& limits) {
  TRY(check_range<std::uint64_t>("memory", limits.memory_bytes, 1u << 20, kMaxBytes));
  TRY(check_range<std::uint64_t>("pids", limits.pids, 1, 4'194'304));  // PID_MAX_LIMIT
  TRY(check_range<double>("cpus", limits.cpus, 0.01, 1024));
  TRY(check_range<std::uint64_t>("cpu_weight", limits.cpu_weight, 1, 10'000));
  TRY(check_positive("cpu_time", limits.cpu_time));
  TRY(check_positive("wall_time", limits.wall_time));
  TRY(check_range<std::uint64_t>("open_files", limits.open_files, 1, 1u << 30));
  TRY(check_range<std::uint64_t>("file_size", limits.file_size_bytes, 0, kMaxBytes));
  TRY(check_range<std::uint64_t>("disk", limits.disk_bytes, 1, kMaxBytes));
  TRY(check_range<std::uint64_t>("disk_bytes_per_second", limits.disk_bytes_per_second, 1,
                                 kMaxBytes));
  TRY(check_range<std::uint64_t>("disk_operations_per_second", limits.disk_operations_per_second, 1,
                                 kMaxBytes));
  TRY(check_range<std::uint64_t>("tmpfs", limits.tmpfs_bytes, 1, kMaxBytes));
  TRY(check_range<std::uint64_t>("tmpfs_inodes", limits.tmpfs_inodes, 1, kMaxBytes));
  TRY(check_range<std::uint64_t>("output", limits.output.max_bytes, 0, kMaxBytes));
  return {};
}

}  // namespace caisson::spec
