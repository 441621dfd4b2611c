// Metrics: what all processes of a home have done, counted in one file that they map
// (docs/formats/metrics.md).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "caisson/exit_info.h"

namespace caisson::telemetry {

/// The order is the file's: new ones go to the end.
enum class Counter : unsigned {
  kBoxesCreated,
  kBoxesStarted,
  kBoxesFailed,  ///< starts that did not succeed
  kBoxesRemoved,
  kExecsStarted,
  kExecsFailed,
  kOutputBytes,
  kSnapshots,
  kForks,
  kRestores,
  kImagesPulled,
  kAuditFailures,
  kBoxesEnded,  ///< and the nine after it: by ExitReason
  kLast = kBoxesEnded + 9,
};

/// Times, in buckets.
enum class Timing : unsigned {
  kPlan,
  kFiles,
  kSeccomp,
  kCgroup,
  kNamespaces,
  kClone,
  kRootfs,
  kExecMain,
  kStart,  ///< all of it
  kExec,   ///< of one more process in a box: from the request to its running
  kSnapshot,
  kFork,
  kRestore,
  kLast = kRestore,
};

inline constexpr std::array<double, 14> kBuckets = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                    0.1,    0.2,   0.5,   1,     2,    5,    10};

/// Thread-safe, as are several in one process. Where the file cannot be made or mapped, nothing is
/// counted.
class Metrics final {
 public:
  explicit Metrics(const std::string& home);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void add(Counter counter, std::uint64_t amount = 1) const;
  void ended(ExitReason reason) const;
  void observe(Timing timing, std::chrono::nanoseconds duration) const;
  /// By the stage's name, as a box's StageTiming has it; unknown ones are passed over.
  void observe_stage(std::string_view name, std::chrono::nanoseconds duration) const;

  std::uint64_t value(Counter counter) const;
  /// All of it in Prometheus' text format (exposition format 0.0.4).
  std::string text() const;

 private:
  static constexpr std::size_t kSlots = 512;
  std::uint64_t* slots_ = nullptr;  ///< mapped
};

}  // namespace caisson::telemetry
