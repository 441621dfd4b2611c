// AuditLog: the append-only, hash-chained log of a home (docs/formats/audit.md). Written by every
// client and every shim.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "caisson/audit.h"
#include "caisson/exit_info.h"
#include "telemetry/metrics.h"

namespace caisson::telemetry {

/// Thread-safe.
class AuditLog final {
 public:
  /// `<home>/audit/` is made at the first entry. `metrics` is borrowed: a failure to write is
  /// counted there, where everybody sees it.
  AuditLog(std::string home, Metrics& metrics) : home_(std::move(home)), metrics_(metrics) {}

  /// Adds an entry. What it tells of has happened, so a failure is no reason to fail: it is
  /// counted, kept in last_failure(), and the entry stays in recent().
  void add(std::string_view event, std::string_view box, const nlohmann::json& details);

  /// The entries that this object wrote or could not write, oldest first, at most 1,000.
  std::deque<AuditEntry> recent() const;
  /// Why the last entry that could not be written was not.
  std::optional<Error> last_failure() const;

 private:
  Result<> append(std::string_view event, std::string_view box, const nlohmann::json& details);
  Result<> open();

  std::string home_;
  Metrics& metrics_;
  mutable std::mutex mutex_;
  Fd log_, head_;
  std::deque<AuditEntry> recent_;
  std::optional<Error> last_failure_;
};

/// Reads a log from its beginning or from where it has come to.
class AuditReader final {
 public:
  /// An absent log is an empty one.
  explicit AuditReader(const std::string& home);
  /// The next complete entry; absent at the end of what has been written. May be called again.
  /// `audit_unreadable`: a line that is none.
  Result<std::optional<AuditEntry>> next();
  std::uint64_t line() const { return line_; }

 private:
  std::string path_;
  Fd file_;
  std::uint64_t offset_ = 0, line_ = 0;
  std::string buffer_;
};

/// Follows the whole chain and holds its end against `audit/head`.
Result<AuditCheck> verify_audit(const std::string& home);

/// The number of the last entry; 0 when there is none.
Result<std::uint64_t> last_entry(const std::string& home);

/// How a process ended, as an entry's details.
nlohmann::json shown_exit(const ExitInfo& exit);

/// A text that a guest may have made; a very long one is cut.
nlohmann::json shown_text(const std::string& text);
/// argv as an entry shows it: bytes that are no UTF-8 in base 64, a very long one cut.
nlohmann::json shown_command(const std::vector<std::string>& argv);

}  // namespace caisson::telemetry
