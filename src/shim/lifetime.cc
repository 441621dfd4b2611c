#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "container/container.h"
#include "process/process.h"
#include "shim/shim.h"
#include "spec/effective.h"
#include "sys/socket.h"
#include "vm/microvm.h"
#include "vm/shares.h"

namespace caisson::shim {

using backend::kMainProcess;
using backend::ProcessEvent;
using backend::ProcessId;

Result<> Shim::start() {
  open_accounts();
  const std::string data = box_.layout.box(box_.id);
  directory_ = TRY(open_fd(data, O_PATH | O_DIRECTORY));
  listener_ = TRY(sys::listen_at(directory_.get(), backend::Layout::socket(box_.id)));
  if (!box_.at_rest) ::unlinkat(directory_.get(), backend::Layout::kStatus, 0);
  TRY(start_sandbox());
  if (box_.at_rest) return start_at_rest();
  log_.emplace(data, box_.spec.limits.output);
  carry(kMainProcess, &*log_, box_.spec.replay_bytes).limit = box_.spec.limits.output;
  if (box_.spec.workdir.empty()) box_.spec.workdir = box_.rootfs.workdir;
  exec_began_ns_ = boot_ns();
  return spawn_main();
}

Result<std::unique_ptr<backend::Sandbox>> Shim::make_sandbox() {
  const std::string data = box_.layout.box(box_.id);
  const bool micro_vm = box_.spec.isolation == Isolation::kMicroVm;
  if (micro_vm && !vm::needs_shares(box_))
    return vm::make_microvm({box_, data, !boxes_have_our_id_, {}});
  if (!spec::has_own_root(box_.spec.isolation))
    return process::make_process({box_.id, box_.spec, data, box_.layout.cache(), kClaim,
                                  box_.fail_at, box_.trial.value_or(backend::Trial{})});
  if (!preparation_) preparation_.emplace(container::prepare());
  if (!*preparation_) return preparation_->error();
  container::Preparation& preparation = **preparation_;
  if (box_.spec.restart.mode != RestartMode::kNo)
    surroundings_.emplace(preparation.cgroups, preparation.facts);
  if (micro_vm) return vm::make_microvm({box_, data, !boxes_have_our_id_, std::move(preparation)});
  return container::make_container(
      {box_.id, box_.spec, box_.rootfs, data, box_.layout.cache(), box_.fail_at, box_.at_rest,
       box_.trial.value_or(backend::Trial{})},
      std::move(preparation));
}

Result<> Shim::start_sandbox() {
  if (::fcntl(kClaim, F_GETFD) < 0)
    return make_error(Code::kInvalidArgument, "protocol_error", "start box: no claim came with it");
  sandbox_ = TRY(make_sandbox());
  started_ = TRY(sandbox_->start());
  next_process_ = std::max(next_process_, sandbox_->last_id() + 1);
  poller_.watch(sandbox_->event_fd(), EPOLLIN, [this](std::uint32_t) { on_sandbox(); });
  return {};
}

/// Nobody but who works with its files needs to know: the record says what it said before.
Result<> Shim::start_at_rest() {
  running_ = true;
  poller_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
  if (box_.spec.limits.disk_bytes) check_disk();
  const auto client = connections_.find(processes_[kMainProcess].client);
  if (client != connections_.end()) client->second->reply({.started = started_});
  return {};
}

Result<> Shim::spawn_main() {
  backend::Stdio stdio;
  Fd out, err;
  if (box_.spec.tty) {
    backend::Terminal terminal = TRY(sandbox_->open_terminal(box_.spec.user));
    stdio.in = TRY(duplicate(terminal.slave.get()));
    stdio.out = TRY(duplicate(terminal.slave.get()));
    stdio.err = std::move(terminal.slave);
    out = std::move(terminal.master);
  } else {
    Pipe out_pipe = TRY(make_pipe());
    Pipe err_pipe = TRY(make_pipe());
    if (box_.spec.open_stdin) {
      Pipe in_pipe = TRY(make_pipe());
      stdio.in = std::move(in_pipe.read);
      main_stdin_ = std::move(in_pipe.write);
    } else {
      stdio.in = TRY(open_fd("/dev/null", O_RDONLY));
    }
    stdio.out = std::move(out_pipe.write);
    stdio.err = std::move(err_pipe.write);
    out = std::move(out_pipe.read);
    err = std::move(err_pipe.read);
  }
  TRY(sandbox_->spawn(kMainProcess,
                      {box_.spec.command, box_.spec.env, box_.spec.workdir, box_.spec.user,
                       box_.spec.groups, box_.spec.tty, box_.trial.has_value()},
                      std::move(stdio)));
  main_output().set_room(0);  // nothing is read before somebody may have attached
  main_output().open(std::move(out), std::move(err));
  return {};
}

void Shim::on_sandbox() {
  for (const ProcessEvent& event : sandbox_->events()) on_event(event);
  if (!done_ && sandbox_ && sandbox_->gone()) finish();
}

void Shim::on_event(const ProcessEvent& event) {
  switch (event.kind) {
    case ProcessEvent::Kind::kStarted:
      return on_started(event.id);
    case ProcessEvent::Kind::kFailed:
      return on_failed(event.id, *event.error);
    case ProcessEvent::Kind::kEnded:
      break;
  }
  if (event.id != kMainProcess) return on_exec_ended(event);
  if (done_) return;
  processes_[kMainProcess].facts.wait_status = event.status;
  main_ended_ns_ = boot_ns();
  total_at_end_ = main_output().total();
  update_room();
  end_sandbox();
}

void Shim::on_started(ProcessId id) {
  Process& process = processes_[id];
  process.started_ns = boot_ns();
  const auto client = connections_.find(process.client);
  if (id == kMainProcess) {
    started_->stages.push_back({"exec", std::chrono::nanoseconds(boot_ns() - exec_began_ns_)});
    main_started_ns_ = process.started_ns;
    started_->started_ns = wall_ns();
    last_run_.reset();
    running_ = true;
    start_limits();
    start_health();
    if (run_ > 0) write_status();
    // Told before anybody is answered: nobody's next step can get into the log before it.
    tell_started();
    if (run_ == 0)
      poller_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
    if (client != connections_.end()) {
      if (box_.attach)
        attach(*client->second, started_, {0, 0, 0});
      else
        client->second->reply({.started = started_});
      flush(*client->second);
    }
    update_room();
    return;
  }
  tell_exec_started(id);
  if (client == connections_.end()) {
    process.terminal.reset();
  } else {
    std::vector<Fd> fds;
    if (process.terminal) fds.push_back(std::move(process.terminal));
    backend::Reply reply;
    if (carriers_.contains(id)) reply.exec = id;
    client->second->reply(reply, std::move(fds));
    if (reply.exec) follow(*client->second, id, {0, 0, 0});
    flush(*client->second);
  }
  update_room();
}

/// From the request on: what a box does to a process of its own between fork and exec must not
/// stop the clock.
void Shim::limit_time(ProcessId id, std::chrono::nanoseconds time) {
  processes_[id].wall_time.start(poller_, time.count(), [this, id] {
    const auto found = processes_.find(id);
    if (found == processes_.end()) return;
    if (!found->second.facts.ended_by_us) found->second.facts.ended_by_us = ExitReason::kTimeout;
    [[maybe_unused]] Result<> sent = sandbox_->signal(id, SIGKILL, true);
  });
}

void Shim::on_failed(ProcessId id, const Error& error) {
  if (id == kMainProcess) return fail_start(error);
  if (processes_[id].kind == Process::Kind::kHealth) {
    processes_.erase(id);
    health_output_ = error.message.substr(0, kMostHealthOutput);
    return on_health_ended({});
  }
  tell_exec_failed(id, error);
  const auto client = connections_.find(processes_[id].client);
  if (client != connections_.end()) client->second->role = Role::kNew;
  send_exits(id, {});  // to whom knew its number already
  for (auto& [fd, connection] : connections_)
    if (connection->carried && connection->process == id) connection->carried = false;
  processes_.erase(id);
  carriers_.erase(id);
  note_activity();
  if (client == connections_.end()) return;
  client->second->process = kMainProcess;
  client->second->reply({.error = error});
  flush(*client->second);
}

void Shim::on_exec_ended(const ProcessEvent& event) {
  const auto found = processes_.find(event.id);
  if (found == processes_.end()) return;
  Process& process = found->second;
  process.wall_time.cancel();
  drain_carried(event.id);
  process.facts.wait_status = event.status;
  process.facts.oom_killed = sandbox_->oom_kills() > process.oom_before;
  process.facts.fork_refused = sandbox_->pid_limit_hits() > 0;
  ExitInfo info = judge(process.facts);
  info.duration = std::chrono::nanoseconds(boot_ns() - process.started_ns);
  info.usage.wall = info.duration;
  info.usage.cpu_user = event.cpu_user;
  info.usage.cpu_system = event.cpu_system;
  if (process.kind == Process::Kind::kHealth) on_health_ended(info);
  end_carried(event.id, info);
  tell_exec_ended(event.id, info);
  send_exits(event.id, info);
  const bool used = process.kind != Process::Kind::kHealth;
  processes_.erase(event.id);
  if (used) note_activity();
}

void Shim::start_limits() {
  const Limits& limits = box_.spec.limits;
  if (limits.wall_time)
    wall_time_.start(poller_, limits.wall_time->count(), [this] { end_box(ExitReason::kTimeout); });
  if (limits.cpu_time) check_cpu_time();
  if (limits.disk_bytes) check_disk();
  if (box_.spec.max_lifetime && run_ == 0)
    poller_.after(box_.spec.max_lifetime->count(), [this] {
      stays_ended_ = true;
      end_box(ExitReason::kTimeout);
    });
  note_activity();
}

/// CPU time grows at most as fast as all processors run, so the next look can be that far away.
void Shim::check_cpu_time() {
  const std::int64_t left = box_.spec.limits.cpu_time->count() - sandbox_->cpu_time().count();
  if (left <= 0) return end_box(ExitReason::kCpuTime);
  const auto processors = std::max(1u, std::thread::hardware_concurrency());
  after_in_run(std::max<std::int64_t>(left / processors, 5'000'000), [this] { check_cpu_time(); });
}

void Shim::check_disk() {
  constexpr std::int64_t kInterval = 50'000'000;
  const std::int64_t began = boot_ns();
  if (sandbox_->disk_bytes().value_or(0) > *box_.spec.limits.disk_bytes)
    return end_box(ExitReason::kDiskFull);
  // A box can make looking slow with a great many files; most of the time stays for other work.
  after_in_run(std::max<std::int64_t>(kInterval, 4 * (boot_ns() - began)),
               [this] { check_disk(); });
}

void Shim::after_in_run(std::int64_t ns, std::function<void()> handler) {
  poller_.after(ns, [this, run = run_, handler = std::move(handler)] {
    if (!done_ && run == run_ && sandbox_) handler();
  });
}

void Shim::end_box(ExitReason reason) {
  if (done_) return;
  if (last_run_ && !sandbox_ && stays_ended_) {  // it waits for its next run
    if (reason == ExitReason::kTimeout) last_run_->exit.reason = reason;
    return finish_with(std::exchange(last_run_, std::nullopt).value());
  }
  if (!sandbox_) return;
  EndingFacts& facts = processes_[kMainProcess].facts;
  if (!facts.ended_by_us) facts.ended_by_us = reason;
  end_sandbox();
}

void Shim::stop_box(ExitReason reason, std::chrono::nanoseconds grace) {
  if (last_run_) return end_box(reason);  // nothing runs that could be asked
  EndingFacts& facts = processes_[kMainProcess].facts;
  const int number = box_.spec.stop_signal.empty()
                         ? SIGTERM
                         : parse_signal(box_.spec.stop_signal).value_or(SIGTERM);
  facts.sent_signals.insert(number);
  if (!facts.ended_by_us) facts.ended_by_us = reason;
  [[maybe_unused]] Result<> sent = sandbox_->signal(kMainProcess, number, false);
  [[maybe_unused]] Result<> resumed = resume();
  after_in_run(grace.count(), [this, reason] { end_box(reason); });
}

void Shim::end_sandbox() {
  constexpr std::int64_t kPatience = 2'000'000'000;
  // A flood of output, say, is noticed again and again until the end.
  if (std::exchange(ending_, true)) return;
  // What still runs beside the main process ends because we end the box.
  for (auto& [id, process] : processes_)
    if (id != kMainProcess && !process.facts.ended_by_us)
      process.facts.ended_by_us = ExitReason::kKilled;
  // What stands still neither ends nor accounts for itself; what was saved is not to go on here.
  if (processes_[kMainProcess].facts.ended_by_us != ExitReason::kHibernated) [[maybe_unused]]
    const Result<> resumed = resume();
  sandbox_->end();
  kill_after(kPatience);
}

/// Again and again: a sandbox may take a second word, or time.
void Shim::kill_after(std::int64_t ns) {
  after_in_run(ns, [this, ns, run = run_] {
    sandbox_->kill_all();
    on_sandbox();
    if (!done_ && sandbox_ && run == run_) kill_after(ns);
  });
}

void Shim::finish() {
  if (box_.at_rest) return finish_at_rest();
  main_output().drain();
  if (health_pipe_) poller_.forget(health_pipe_.get());
  health_pipe_.reset();
  if (main_ended_ns_ == 0) main_ended_ns_ = boot_ns();
  EndingFacts facts = processes_[kMainProcess].facts;
  facts.lost = sandbox_->lost();
  facts.oom_killed = sandbox_->oom_kills() > 0;
  facts.fork_refused = sandbox_->pid_limit_hits() > 0;
  facts.disk_limited = box_.spec.limits.disk_bytes.has_value();
  facts.disk_full =
      facts.disk_limited && sandbox_->disk_bytes().value_or(0) >= *box_.spec.limits.disk_bytes;
  backend::EndedRecord record;
  record.exit = judge(facts);
  record.exit.duration = std::chrono::nanoseconds(main_ended_ns_ - main_started_ns_);
  record.exit.usage = sandbox_->usage();
  record.exit.usage.wall = record.exit.duration;
  record.exit.output_bytes = main_output().total() - output_before_;
  record.exit.output_dropped_bytes = log_->dropped() - dropped_before_;
  record.finished_ns = wall_ns();
  if (restarts(record.exit)) {
    last_run_ = record;
    end_execs();
    return begin_again();
  }
  finish_with(record);
}

/// What ran beside the main process ended with it.
void Shim::end_execs() {
  for (auto& [id, process] : processes_) {
    if (id == kMainProcess) continue;
    drain_carried(id);
    if (!process.facts.ended_by_us) process.facts.ended_by_us = ExitReason::kKilled;
    ExitInfo info = judge(process.facts);
    info.duration = std::chrono::nanoseconds(boot_ns() - process.started_ns);
    info.usage.wall = info.duration;
    end_carried(id, info);
    tell_exec_ended(id, info);
    send_exits(id, info);
  }
}

/// The record is written before anybody is told, so that no client knows more than the next process
/// to open the home.
void Shim::finish_with(const backend::EndedRecord& record) {
  done_ = true;
  [[maybe_unused]] Result<> kept = keep_record(backend::encode_ended(record));
  tell_ended(record.exit);
  close_listener();
  end_execs();
  send_exits(kMainProcess, record.exit);
  flush_all();
  // Clients commit the end meanwhile, and wait for us to leave.
  if (sandbox_) [[maybe_unused]]
    const Result<> cleaned = sandbox_->cleanup();
  leave_soon();
}

void Shim::finish_at_rest() {
  done_ = true;
  close_listener();
  [[maybe_unused]] Result<> cleaned = sandbox_->cleanup();
  leave_soon();
}

/// Puts the record into the claim's file and a second name of it among the ended: no file is made,
/// which a busy file system may take long for.
Result<> Shim::keep_record(const std::string& record) const {
  constexpr const char* kClaim = "lock";
  Fd file = TRY(open_at(directory_.get(), kClaim, O_WRONLY | O_TRUNC | O_NOFOLLOW));
  TRY(write_all(file.get(), record, kClaim));
  Fd ended = TRY(open_fd(box_.layout.ended(), O_PATH | O_DIRECTORY));
  ::unlinkat(ended.get(), box_.id.c_str(), 0);
  if (::linkat(directory_.get(), kClaim, ended.get(), box_.id.c_str(), 0) < 0)
    return sys_error("keep record of box", box_.id);
  return {};
}

void Shim::close_listener() {
  if (directory_) ::unlinkat(directory_.get(), backend::Layout::kPaused, 0);
  if (listener_) ::unlinkat(directory_.get(), backend::Layout::socket(box_.id).c_str(), 0);
  if (listener_) poller_.forget(listener_.get());
  listener_.reset();
}

std::vector<int> Shim::clients() const {
  std::vector<int> fds;
  for (const auto& [fd, connection] : connections_) fds.push_back(fd);
  return fds;
}

/// A flush may drop its connection and with it others.
void Shim::flush_all() {
  for (const int fd : clients())
    if (const auto found = connections_.find(fd); found != connections_.end())
      flush(*found->second);
}

void Shim::fail_start(const Error& error) {
  if (last_run_) {  // what has ended cannot be started again, and ends like that
    if (!stays_ended_)
      audit_->add("restart_failed", box_.id, {{"cause", telemetry::shown_text(error.message)}});
    else if (processes_[kMainProcess].facts.ended_by_us == ExitReason::kTimeout)
      last_run_->exit.reason = ExitReason::kTimeout;
    if (sandbox_) poller_.forget(sandbox_->event_fd());
    sandbox_.reset();
    return finish_with(std::exchange(last_run_, std::nullopt).value());
  }
  done_ = true;
  status_ = 1;
  if (sandbox_) {
    poller_.forget(sandbox_->event_fd());
    sandbox_.reset();  // ends and reaps what was started, and removes its cgroups
  }
  close_listener();
  const auto client = connections_.find(processes_[kMainProcess].client);
  if (client != connections_.end()) client->second->reply({.error = error});
  leave_soon();
}

/// Clients that do not read lose what they have not read.
void Shim::leave_soon() {
  leaving_ = true;
  flush_all();
  wait_for_readers();
}

/// As long as one of them reads; but from the second turn on the box is no longer ours, so that
/// others can start or remove it.
void Shim::wait_for_readers() {
  constexpr std::int64_t kPatience = 5'000'000'000;
  const auto sent = [this] {
    std::uint64_t bytes = 0;
    for (const auto& [fd, connection] : connections_) bytes += connection->sent();
    return bytes;
  };
  poller_.after(kPatience, [this, sent, before = sent()] {
    if (sent() == before) return connections_.clear();
    ::flock(kClaim, LOCK_UN);
    wait_for_readers();
  });
}

}  // namespace caisson::shim
