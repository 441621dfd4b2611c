// Pausing a box: by a caller, or by itself when nobody uses it.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "shim/shim.h"

namespace caisson::shim {

Result<> Shim::mark_paused() const {
  return replace_file(directory_.get(), backend::Layout::kPaused, "", 0600);
}

/// The mark is there from before the first process stands still until after the last one goes on:
/// who sees none sees a running box. One that is held for a moment is none that somebody has
/// paused.
Result<> Shim::pause(Paused why) {
  if (paused_ != Paused::kNot) return {};
  if (ending_ || done_)
    return make_error(Code::kFailedPrecondition, "box_not_running", "pause box: it ends");
  if (why != Paused::kHeld) TRY(mark_paused());
  if (Result<> paused = sandbox_->pause(); !paused) {
    ::unlinkat(directory_.get(), backend::Layout::kPaused, 0);
    return paused;
  }
  stand_still(why);
  return {};
}

void Shim::stand_still(Paused why) {
  paused_ = why;
  tell_paused("box_paused", why);
  wall_time_.hold();
  idle_time_.cancel();
  for (auto& [id, process] : processes_) process.wall_time.hold();
}

Result<> Shim::resume() {
  if (paused_ == Paused::kNot) return {};
  TRY(sandbox_->resume());
  tell_paused("box_resumed", std::exchange(paused_, Paused::kNot));
  ::unlinkat(directory_.get(), backend::Layout::kPaused, 0);
  wall_time_.go_on();
  for (auto& [id, process] : processes_) process.wall_time.go_on();
  // Who held it learns that it moves again.
  for (const int fd : clients())
    if (connections_.at(fd)->role == Role::kHolder) drop(fd);
  if (!waiting_.empty()) run_waiting_soon();
  note_activity();
  return {};
}

/// A box is idle while no exec runs, nobody is attached and its program writes nothing.
void Shim::note_activity() {
  if (box_.at_rest || !box_.spec.idle_timeout || !running_ || done_ || ending_) return;
  idle_time_.cancel();
  if (paused_ != Paused::kNot) return;
  for (const auto& [id, process] : processes_)
    if (id != backend::kMainProcess && process.kind != Process::Kind::kHealth) return;
  for (const auto& [fd, connection] : connections_)
    if (connection->role == Role::kMain) return;
  idle_time_.start(poller_, box_.spec.idle_timeout->count(), [this] { become_idle(); });
}

void Shim::become_idle() {
  if (done_ || ending_) return;
  // A box that cannot be paused must not go on for ever either.
  if (box_.spec.idle_action == IdleAction::kPause && pause(Paused::kByItself)) return;
  stays_ended_ = true;
  stop_box(ExitReason::kTimeout, std::chrono::seconds(10));
}

/// The end of the last connection that held the box lets it go on.
void Shim::release_hold() {
  for (const auto& [fd, connection] : connections_)
    if (connection->role == Role::kHolder) return;
  if (paused_ == Paused::kHeld) [[maybe_unused]]
    const Result<> resumed = resume();
  else if (!waiting_.empty())
    run_waiting_soon();
}

/// Not at once: who calls is in the middle of something with connections.
void Shim::run_waiting_soon() {
  poller_.after(0, [this] { run_waiting(); });
}

/// Execs that waited for the end of a hold. In a box that a caller has paused since they fail.
void Shim::run_waiting() {
  if (paused_ == Paused::kHeld) return;
  for (auto& [fd, request] : std::exchange(waiting_, {})) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;
    if (done_ || ending_ || !running_)
      found->second->reply({.error = make_error(Code::kFailedPrecondition, "box_not_running",
                                                "start exec: the box ends")});
    else
      std::visit([&](auto& r) { handle(*found->second, std::move(r)); }, request);
    flush(*found->second);
  }
}

void Shim::handle(Connection& connection, backend::PauseRequest request) {
  if (request.hold) {
    backend::Reply reply;
    if (Result<> paused = pause(Paused::kHeld); !paused)
      reply.error = paused.error();
    else
      connection.role = Role::kHolder;
    connection.reply(reply);
    return;
  }
  backend::Reply reply;
  Result<> paused;
  if (paused_ == Paused::kNot) {
    paused = pause(Paused::kByCaller);
  } else {
    paused = mark_paused();
    if (paused) paused_ = Paused::kByCaller;  // now only a caller resumes it
  }
  if (!paused) reply.error = paused.error();
  connection.reply(reply);
}

void Shim::handle(Connection& connection, backend::ResumeRequest) {
  backend::Reply reply;
  const bool held = std::ranges::any_of(
      connections_, [](const auto& other) { return other.second->role == Role::kHolder; });
  if (held && paused_ != Paused::kNot) {
    paused_ = Paused::kHeld;  // it goes on with the end of the hold
    ::unlinkat(directory_.get(), backend::Layout::kPaused, 0);
  } else if (Result<> resumed = resume(); !resumed) {
    reply.error = resumed.error();
  }
  connection.reply(reply);
}

/// One that is to stay stands still, as if it were held, until whoever asked ends it or goes away.
void Shim::handle(Connection& connection, const backend::SaveRequest& request) {
  const auto save = [&]() -> Result<> {
    if (ending_ || done_)
      return make_error(Code::kFailedPrecondition, "box_not_running", "save box: it ends");
    const Fd directory = TRY(open_fd(request.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(sandbox_->save(directory.get(), request.memory, request.stay));
    if (!request.stay) return {};
    connection.role = Role::kHolder;
    stand_still(Paused::kHeld);
    return {};
  };
  backend::Reply reply;
  if (Result<> saved = save(); !saved) reply.error = saved.error();
  connection.reply(reply);
}

/// Before a process can be started in it.
Result<> Shim::wake() {
  if (paused_ == Paused::kNot) return {};
  if (paused_ == Paused::kByItself) return resume();
  return make_error(Code::kFailedPrecondition, "box_paused", "use box: it is paused",
                    format("caisson resume {}", box_.id));
}

}  // namespace caisson::shim
