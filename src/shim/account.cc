// What the shim tells the audit log and the metrics: no client need be there for it.
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "shim/shim.h"

namespace caisson::shim {

using telemetry::Counter;
using telemetry::Timing;

namespace {

bool is_limit(ExitReason reason) {
  switch (reason) {
    case ExitReason::kTimeout:
    case ExitReason::kCpuTime:
    case ExitReason::kOom:
    case ExitReason::kPids:
    case ExitReason::kOutputLimit:
    case ExitReason::kDiskFull:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Shim::open_accounts() {
  asked_ns_ = boot_ns();
  metrics_.emplace(box_.layout.home);
  audit_.emplace(box_.layout.home, *metrics_);
}

void Shim::tell_started() {
  metrics_->add(Counter::kBoxesStarted);
  for (const StageTiming& stage : started_->stages)
    metrics_->observe_stage(stage.name, stage.duration);
  metrics_->observe(Timing::kStart, std::chrono::nanoseconds(boot_ns() - asked_ns_));
  nlohmann::json details = {{"init_pid", started_->init_pid}};
  if (!started_->warnings.empty()) {
    nlohmann::json& warnings = details["warnings"] = nlohmann::json::array();
    for (const std::string& warning : started_->warnings)
      warnings.push_back(telemetry::shown_text(warning));
  }
  audit_->add("box_started", box_.id, details);
}

void Shim::tell_ended(const ExitInfo& exit) {
  metrics_->ended(exit.reason);
  metrics_->add(Counter::kOutputBytes, exit.output_bytes);
  if (is_limit(exit.reason))
    audit_->add("limit_hit", box_.id, {{"limit", std::string(to_string(exit.reason))}});
  audit_->add("box_ended", box_.id, telemetry::shown_exit(exit));
}

void Shim::tell_exec_started(backend::ProcessId id) {
  const Process& process = processes_[id];
  if (process.kind != Process::Kind::kProgram) return;
  metrics_->add(Counter::kExecsStarted);
  metrics_->observe(Timing::kExec, std::chrono::nanoseconds(boot_ns() - process.asked_ns));
  audit_->add("exec_started", box_.id,
              {{"exec", id},
               {"command", telemetry::shown_command(process.command)},
               {"user", process.user},
               {"terminal", process.has_terminal}});
}

void Shim::tell_exec_ended(backend::ProcessId id, const ExitInfo& exit) {
  if (processes_[id].kind != Process::Kind::kProgram) return;
  if (is_limit(exit.reason))
    audit_->add("limit_hit", box_.id,
                {{"limit", std::string(to_string(exit.reason))}, {"exec", id}});
  nlohmann::json details = telemetry::shown_exit(exit);
  details["exec"] = id;
  audit_->add("exec_ended", box_.id, details);
}

void Shim::tell_exec_failed(backend::ProcessId id, const Error& error) {
  if (processes_[id].kind != Process::Kind::kProgram) return;
  metrics_->add(Counter::kExecsFailed);
  audit_->add("exec_failed", box_.id,
              {{"exec", id}, {"cause", telemetry::shown_text(error.message)}});
}

void Shim::tell_paused(std::string_view event, Paused why) {
  // Held for a moment by a snapshot: that is an entry of its own.
  if (why != Paused::kHeld)
    audit_->add(event, box_.id, {{"by", why == Paused::kByItself ? "idle" : "caller"}});
}

}  // namespace caisson::shim
