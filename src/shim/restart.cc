// Another run of the main process after one that has ended by itself.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "shim/shim.h"

namespace caisson::shim {

using backend::kMainProcess;

bool Shim::restarts(const ExitInfo& exit) const {
  const RestartPolicy& policy = box_.spec.restart;
  if (stays_ended_ || policy.mode == RestartMode::kNo) return false;
  if (policy.mode == RestartMode::kAlways) return true;
  const bool succeeded = exit.reason == ExitReason::kExited && exit.exit_code == 0;
  return !succeeded && (policy.max_retries == 0 || told_.restarts < policy.max_retries);
}

/// Nothing of the run that is over is left: its processes, its cgroups, its time limits. Who is
/// attached stays so.
void Shim::begin_again() {
  constexpr std::int64_t kShortest = 100'000'000, kLongest = 60'000'000'000,
                         kGoodRun = 10'000'000'000;
  const ExitInfo& exit = last_run_->exit;
  restart_delay_ns_ = exit.duration.count() >= kGoodRun || restart_delay_ns_ == 0
                          ? kShortest
                          : std::min(2 * restart_delay_ns_, kLongest);
  nlohmann::json details = telemetry::shown_exit(exit);
  details["delay_ns"] = restart_delay_ns_;
  audit_->add("box_restarting", box_.id, details);
  poller_.forget(sandbox_->event_fd());
  [[maybe_unused]] const Result<> cleaned = sandbox_->cleanup();
  if (surroundings_)
    preparation_.emplace(container::prepare_again(surroundings_->first, surroundings_->second));
  sandbox_.reset();
  running_ = ending_ = false;
  output_before_ = main_output().total();
  dropped_before_ = log_->dropped();
  // It may have died while it stood still.
  paused_ = Paused::kNot;
  ::unlinkat(directory_.get(), backend::Layout::kPaused, 0);
  for (const int fd : clients())
    if (const auto found = connections_.find(fd);
        found != connections_.end() && found->second->role == Role::kHolder)
      drop(fd);
  for (const auto& [fd, request] : std::exchange(waiting_, {})) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;
    found->second->reply({.error = make_error(Code::kFailedPrecondition, "box_not_running",
                                              "use box: it has just ended")});
    flush(*found->second);
  }
  wall_time_.cancel();
  idle_time_.cancel();
  ++run_;
  main_ended_ns_ = 0;
  main_stdin_.reset();
  processes_.clear();
  told_.restarting = true;
  if (box_.spec.health) told_.health = HealthState::kStarting;
  write_status();
  poller_.after(restart_delay_ns_, [this, run = run_] {
    if (!done_ && run == run_) start_again();
  });
}

void Shim::start_again() {
  ++told_.restarts;
  told_.restarting = false;
  processes_[kMainProcess].client = -1;
  main_started_ns_ = boot_ns();
  const auto start = [&]() -> Result<> {
    TRY(start_sandbox());
    exec_began_ns_ = boot_ns();
    return spawn_main();
  };
  if (Result<> started = start(); !started) fail_start(started.error());
}

/// For who looks at the box without asking us.
void Shim::write_status() {
  told_.init_pid = running_ ? started_->init_pid : 0;
  told_.started_ns = running_ ? started_->started_ns : 0;
  [[maybe_unused]] const Result<> written =
      replace_file(directory_.get(), backend::Layout::kStatus, backend::encode_status(told_), 0600);
}

}  // namespace caisson::shim
