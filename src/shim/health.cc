// The health check of a box: a command that is run again and again.
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "shim/shim.h"

namespace caisson::shim {
void Shim::start_health() {
  if (!box_.spec.health) return;
  failures_ = 0;
  was_healthy_ = false;
  told_.health = HealthState::kStarting;
  write_status();
  after_in_run(box_.spec.health->interval.count(), [this] { check_health(); });
}

void Shim::check_health() {
  if (ending_) return;
  const HealthCheck& check = *box_.spec.health;
  // A box that stands still is neither well nor ill.
  if (paused_ != Paused::kNot)
    return after_in_run(check.interval.count(), [this] { check_health(); });
  health_output_.clear();
  const auto spawn = [&]() -> Result<> {
    Pipe out = TRY(make_pipe(O_NONBLOCK));
    backend::Stdio stdio{TRY(open_fd("/dev/null", O_RDONLY)), TRY(duplicate(out.write.get())),
                         std::move(out.write)};
    TRY(set_nonblocking(stdio.out.get(), false));
    health_pipe_ = std::move(out.read);
    return sandbox_->spawn(
        next_process_,
        {check.command, box_.spec.env, box_.spec.workdir, box_.spec.user, box_.spec.groups, false},
        std::move(stdio));
  };
  if (Result<> spawned = spawn(); !spawned) {
    health_output_ = spawned.error().message.substr(0, kMostHealthOutput);
    return on_health_ended({});
  }
  Process& process = processes_[next_process_];
  process.kind = Process::Kind::kHealth;
  process.oom_before = sandbox_->oom_kills();
  limit_time(next_process_, check.timeout);
  ++next_process_;
  // Read as it comes, or a check that says much would wait for ever.
  poller_.watch(health_pipe_.get(), EPOLLIN, [this](std::uint32_t) { read_health(); });
}

void Shim::read_health() {
  char buffer[4096];
  for (int pieces = 0; pieces < 16; ++pieces) {
    const ssize_t n = ::read(health_pipe_.get(), buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      poller_.forget(health_pipe_.get());
      health_pipe_.reset();
      return;
    }
    const std::size_t room = kMostHealthOutput - health_output_.size();
    health_output_.append(buffer, std::min<std::size_t>(room, static_cast<std::size_t>(n)));
  }
}

void Shim::on_health_ended(const ExitInfo& exit) {
  if (health_pipe_) read_health();
  if (health_pipe_) {  // something that the check left behind holds it
    poller_.forget(health_pipe_.get());
    health_pipe_.reset();
  }
  if (ending_ || done_) return;
  const HealthCheck& check = *box_.spec.health;
  const HealthState before = told_.health;
  const bool well = exit.reason == ExitReason::kExited && exit.exit_code == 0;
  if (exit.reason == ExitReason::kTimeout) health_output_ += "\n(it took too long)";
  const bool counts = was_healthy_ || boot_ns() - main_started_ns_ >= check.start_period.count();
  if (well) {
    failures_ = 0;
    was_healthy_ = true;
    told_.health = HealthState::kHealthy;
  } else if (counts && ++failures_ >= check.retries) {
    told_.health = HealthState::kUnhealthy;
  }
  if (told_.health != before || told_.health_output != health_output_) {
    told_.health_output = health_output_;
    write_status();
  }
  if (told_.health != before)
    audit_->add("box_health", box_.id,
                {{"health", std::string(to_string(told_.health))},
                 {"output", telemetry::shown_text(health_output_)}});
  after_in_run(check.interval.count(), [this] { check_health(); });
}

}  // namespace caisson::shim
