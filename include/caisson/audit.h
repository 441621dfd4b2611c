// The audit log of a home: what happened, in order, each entry chained to the one before; and the
// stream of events, which is the same log as it grows. docs/formats/audit.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "caisson/exec.h"
#include "caisson/result.h"

namespace caisson {

struct AuditEntry {
  std::uint64_t seq = 0;     ///< from 1, without gaps
  std::int64_t time_ns = 0;  ///< since the Unix epoch
  std::string event;         ///< `box_started`, `exec_ended`, …
  std::string box_id;        ///< empty: not about a box
  std::string json;          ///< the whole entry as one line, with its details
  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

/// What a check of the chain found.
struct AuditCheck {
  std::uint64_t entries = 0;  ///< of which the chain holds
  std::string problem;  ///< empty: all of it. Else which line is the first that is wrong, and why
};

/// The events of a home. Move-only, not thread-safe. Nothing is lost however slow the reader is.
///
///     auto events = runtime->events(runtime->last_event().value());   // before the list is taken
///     auto boxes = runtime->list();
///     while (auto event = events->next()) std::puts((*event)->json.c_str());
class EventStream final {
 public:
  class Impl;
  explicit EventStream(std::unique_ptr<Impl> impl);
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;
  ~EventStream();

  /// A descriptor that polls readable when `next` may have something. Owned by the stream.
  int fd() const;
  /// The next event; kDeadlineExceeded when none comes in time. With a deadline that has passed it
  /// only looks. Errors: `audit_unreadable`.
  Result<AuditEntry> next(Deadline deadline = {});

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson
