// What the shim carries of processes' output: to the log, to attached clients, and for those to
// come.
#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>

#include "shim/shim.h"

namespace caisson::shim {

using backend::kMainProcess;
using backend::ProcessId;

namespace {

/// Of execs that have ended; what they wrote can be had for as long.
constexpr std::size_t kMostEnded = 64;

}  // namespace

Shim::Carrier& Shim::carry(ProcessId id, Log* log, std::uint64_t replay_bytes) {
  auto& carrier = carriers_[id];
  carrier = std::make_unique<Carrier>(Replay(box_.layout.box(box_.id), replay_bytes));
  carrier->output.emplace(
      poller_, log, [this, id](std::uint32_t stream, std::uint64_t offset, std::string_view bytes) {
        pass_on(id, stream, offset, bytes);
      });
  return *carrier;
}

void Shim::pass_on(ProcessId id, std::uint32_t stream, std::uint64_t offset,
                   std::string_view bytes) {
  Carrier& carrier = *carriers_.at(id);
  for (auto& [fd, connection] : connections_) {
    if (!connection->carried || connection->process != id) continue;
    // Who still gets what came before gets this from there too.
    if (!connection->replayed) connection->send_data(stream, offset, bytes);
    poller_.change(fd, connection->interest());
  }
  carrier.replay.append(stream, bytes);
  if (carrier.limit.action == OutputAction::kKill &&
      carrier.output->total() - (id == kMainProcess ? output_before_ : 0) >
          carrier.limit.max_bytes) {
    if (id == kMainProcess) {
      end_box(ExitReason::kOutputLimit);
    } else if (const auto found = processes_.find(id); found != processes_.end()) {
      if (!found->second.facts.ended_by_us)
        found->second.facts.ended_by_us = ExitReason::kOutputLimit;
      [[maybe_unused]] Result<> sent = sandbox_->signal(id, SIGKILL, true);
    }
  }
  update_room();
  note_activity();
}

/// From here on the connection gets the output of a process: what comes, and of what came before
/// what it asks for and is still there. The caller replies, then pumps.
std::array<std::uint64_t, 2> Shim::follow(Connection& connection, ProcessId id,
                                          const AttachOptions& options) {
  connection.carried = true;
  connection.grant(wire::kInitialCredit);
  const Replay& replay = carriers_.at(id)->replay;
  connection.process = id;
  connection.replayed = Replay::Cursor{{options.stdout_offset.value_or(replay.total(1)),
                                        options.stderr_offset.value_or(replay.total(2))}};
  return connection.replayed->had;
}

/// Sends what came before, as much as the client will take, and then the end that it is owed.
void Shim::pump(Connection& connection) {
  while (connection.replayed && connection.credit() > 0) {
    const auto carrier = carriers_.find(connection.process);
    if (carrier == carriers_.end()) {
      connection.replayed.reset();
      break;
    }
    const Replay& replay = carrier->second->replay;
    const std::uint64_t most = std::min<std::uint64_t>(wire::kMaxData, connection.credit());
    if (const auto piece = replay.next(*connection.replayed, most))
      connection.send_data(piece->stream, piece->offset, piece->bytes);
    else
      connection.replayed.reset();
  }
  if (connection.replayed || !connection.owed_exit) return;
  connection.send_exit(*std::exchange(connection.owed_exit, std::nullopt));
}

/// Output is read only as fast as the slowest attached client takes it; with nobody attached it
/// goes to the log alone. Nothing is read while somebody still gets what came before.
void Shim::update_room() {
  for (auto& [id, carrier] : carriers_) {
    std::uint64_t room = UINT64_MAX;
    for (const auto& [fd, connection] : connections_) {
      if (!connection->carried || connection->process != id) continue;
      room = std::min(room, connection->replayed ? 0 : connection->credit());
    }
    const auto process = processes_.find(id);
    if (id != kMainProcess && process != processes_.end() && process->second.started_ns == 0)
      room = 0;  // its client has not been told of it yet
    // What a program wrote before its end is read, as far as it may still be on its way.
    constexpr std::uint64_t kRest = 4u << 20;
    if (id == kMainProcess && main_ended_ns_ != 0) {
      const std::uint64_t since = main_output().total() - total_at_end_;
      room = std::max(room, kRest - std::min(since, kRest));
    }
    carrier->output->set_room(room);
  }
}

/// Everybody who is attached or waits learns of an end, after all that was written before it.
void Shim::send_exits(ProcessId id, const ExitInfo& exit) {
  for (const int fd : clients()) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;
    Connection& connection = *found->second;
    const bool told = id == kMainProcess
                          ? connection.role == Role::kMain || connection.role == Role::kWaiter
                          : connection.role == Role::kExec || connection.role == Role::kFiles;
    if (!told || connection.process != id) continue;
    connection.owed_exit = exit;
    flush(connection);
  }
}

/// What is left in its pipes; before its end is judged, because more than its limit may come.
void Shim::drain_carried(ProcessId id) {
  if (const auto found = carriers_.find(id); found != carriers_.end())
    found->second->output->drain();
}

/// What an exec wrote stays for those who were not there.
void Shim::end_carried(ProcessId id, ExitInfo& exit) {
  const auto found = carriers_.find(id);
  if (found == carriers_.end()) return;
  exit.output_bytes = found->second->output->total();
  found->second->exit = exit;
  std::size_t ended = 0;
  for (const auto& [other, carrier] : carriers_) ended += carrier->exit ? 1 : 0;
  for (auto it = carriers_.begin(); ended > kMostEnded && it != carriers_.end();) {
    const bool attached = std::ranges::any_of(connections_, [&](const auto& other) {
      return other.second->carried && other.second->process == it->first;
    });
    if (!it->second->exit || attached || it->first == id) {
      ++it;
      continue;
    }
    it = carriers_.erase(it);
    --ended;
  }
}

}  // namespace caisson::shim
