#include "telemetry/metrics.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/fd.h"
#include "base/format.h"

namespace caisson::telemetry {
namespace {

// The first slot says what it is; a file that says something else is left alone.
constexpr std::uint64_t kMagic = 0x3154'454d'5349'4143;  // "CAISMET1"
constexpr std::size_t kFirstCounter = 1;
constexpr std::size_t kFirstTiming = 64;
constexpr std::size_t kTimingSlots = kBuckets.size() + 3;  // buckets, +Inf, sum in ns, count

constexpr std::size_t slot_of(Counter counter) {
  return kFirstCounter + static_cast<std::size_t>(counter);
}
constexpr std::size_t slot_of(Timing timing) {
  return kFirstTiming + static_cast<std::size_t>(timing) * kTimingSlots;
}
static_assert(slot_of(Counter::kLast) < kFirstTiming);

constexpr std::array<std::string_view, 10> kReasons = {
    "exited", "signaled",     "timeout",   "cpu_time", "oom",
    "pids",   "output_limit", "disk_full", "killed",   "lost"};

struct Text {
  Counter counter;
  std::string_view name, help;
};
constexpr std::array kCounters = {
    Text{Counter::kBoxesCreated, "boxes_created", "Boxes made."},
    Text{Counter::kBoxesStarted, "boxes_started", "Starts of boxes that succeeded."},
    Text{Counter::kBoxesFailed, "boxes_failed", "Starts of boxes that failed."},
    Text{Counter::kBoxesRemoved, "boxes_removed", "Boxes removed."},
    Text{Counter::kExecsStarted, "execs_started", "Further processes started in boxes."},
    Text{Counter::kExecsFailed, "execs_failed", "Further processes that could not be started."},
    Text{Counter::kOutputBytes, "output_bytes", "Output of main processes."},
    Text{Counter::kSnapshots, "snapshots_created", "Snapshots made."},
    Text{Counter::kForks, "boxes_forked", "Boxes made as forks."},
    Text{Counter::kRestores, "boxes_restored", "Boxes put back to a snapshot."},
    Text{Counter::kImagesPulled, "images_pulled", "Images fetched."},
    Text{Counter::kAuditFailures, "audit_failures", "Entries the audit log could not take."},
};

/// Stage names as boxes have them.
constexpr std::array<std::pair<std::string_view, Timing>, 9> kStages = {{
    {"plan", Timing::kPlan},
    {"files", Timing::kFiles},
    {"seccomp", Timing::kSeccomp},
    {"cgroup", Timing::kCgroup},
    {"namespaces", Timing::kNamespaces},
    {"clone", Timing::kClone},
    {"rootfs", Timing::kRootfs},
    {"exec", Timing::kExecMain},
    {"total", Timing::kStart},
}};

constexpr std::array<std::pair<std::string_view, Timing>, 4> kOperations = {{
    {"exec", Timing::kExec},
    {"snapshot", Timing::kSnapshot},
    {"fork", Timing::kFork},
    {"restore", Timing::kRestore},
}};

std::atomic_ref<std::uint64_t> slot(std::uint64_t* slots, std::size_t index) {
  return std::atomic_ref(slots[index]);
}

}  // namespace

Metrics::Metrics(const std::string& home) {
  const Result<Fd> file = open_fd(home + "/metrics", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!file) return;
  // With its blocks: a write to a mapped hole of a full file system would end this process.
  struct stat st{};
  constexpr off_t kSize = kSlots * sizeof(std::uint64_t);
  if (::fstat(file->get(), &st) < 0 || !S_ISREG(st.st_mode)) return;
  if (st.st_size < kSize && ::posix_fallocate(file->get(), 0, kSize) != 0) return;
  void* const mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file->get(), 0);
  if (mapped == MAP_FAILED) return;
  slots_ = static_cast<std::uint64_t*>(mapped);
  std::uint64_t none = 0;
  slot(slots_, 0).compare_exchange_strong(none, kMagic);
  if (none == 0 || none == kMagic) return;
  ::munmap(mapped, kSize);
  slots_ = nullptr;
}

Metrics::~Metrics() {
  if (slots_ != nullptr) ::munmap(slots_, kSlots * sizeof(std::uint64_t));
}

void Metrics::add(Counter counter, std::uint64_t amount) const {
  if (slots_ != nullptr)
    slot(slots_, slot_of(counter)).fetch_add(amount, std::memory_order_relaxed);
}

void Metrics::ended(ExitReason reason) const {
  add(static_cast<Counter>(static_cast<unsigned>(Counter::kBoxesEnded) +
                           static_cast<unsigned>(reason)));
}

void Metrics::observe(Timing timing, std::chrono::nanoseconds duration) const {
  if (slots_ == nullptr) return;
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bucket =
      static_cast<std::size_t>(std::ranges::lower_bound(kBuckets, seconds) - kBuckets.begin());
  const std::size_t base = slot_of(timing);
  const auto add_to = [&](std::size_t offset, std::uint64_t amount) {
    slot(slots_, base + offset).fetch_add(amount, std::memory_order_relaxed);
  };
  add_to(bucket, 1);
  add_to(kBuckets.size() + 1,
         static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count())));
  add_to(kBuckets.size() + 2, 1);
}

void Metrics::observe_stage(std::string_view name, std::chrono::nanoseconds duration) const {
  for (const auto& [known, timing] : kStages)
    if (known == name) return observe(timing, duration);
}

std::uint64_t Metrics::value(Counter counter) const {
  return slots_ == nullptr ? 0 : slot(slots_, slot_of(counter)).load(std::memory_order_relaxed);
}

std::string Metrics::text() const {
  std::string out;
  for (const Text& t : kCounters)
    out += format(
        "# HELP caisson_{0}_total {1}\n# TYPE caisson_{0}_total counter\ncaisson_{0}_total {2}\n",
        t.name, t.help, value(t.counter));
  out +=
      "# HELP caisson_boxes_ended_total Ends of boxes.\n# TYPE caisson_boxes_ended_total counter\n";
  for (std::size_t i = 0; i < kReasons.size(); ++i)
    out += format("caisson_boxes_ended_total{{reason=\"{}\"}} {}\n", kReasons[i],
                  value(static_cast<Counter>(static_cast<std::size_t>(Counter::kBoxesEnded) + i)));
  const auto histogram = [&](std::string_view name, std::string_view label,
                             std::string_view value_of, Timing timing) {
    std::uint64_t sum = 0;
    const auto read = [&](std::size_t offset) {
      return slots_ == nullptr
                 ? 0
                 : slot(slots_, slot_of(timing) + offset).load(std::memory_order_relaxed);
    };
    for (std::size_t i = 0; i <= kBuckets.size(); ++i) {
      sum += read(i);
      const std::string le = i == kBuckets.size() ? "+Inf" : format("{}", kBuckets[i]);
      out +=
          format("caisson_{}_bucket{{{}=\"{}\",le=\"{}\"}} {}\n", name, label, value_of, le, sum);
    }
    out += format("caisson_{}_sum{{{}=\"{}\"}} {:.9f}\n", name, label, value_of,
                  static_cast<double>(read(kBuckets.size() + 1)) / 1e9);
    out += format("caisson_{}_count{{{}=\"{}\"}} {}\n", name, label, value_of, sum);
  };
  out +=
      "# HELP caisson_start_stage_seconds Stages of starts.\n"
      "# TYPE caisson_start_stage_seconds histogram\n";
  for (const auto& [name, timing] : kStages)
    histogram("start_stage_seconds", "stage", name, timing);
  out +=
      "# HELP caisson_operation_seconds Execs, snapshots, forks, restores.\n"
      "# TYPE caisson_operation_seconds histogram\n";
  for (const auto& [name, timing] : kOperations)
    histogram("operation_seconds", "operation", name, timing);
  return out;
}

}  // namespace caisson::telemetry
