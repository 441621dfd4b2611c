// Connection: one client of the shim.
#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "backend/protocol.h"
#include "base/fd.h"
#include "shim/replay.h"
#include "wire/frame.h"

namespace caisson::shim {

/// What a connection is for, decided by its first request.
enum class Role { kNew, kMain, kWaiter, kExec, kHolder, kFiles };

class Connection final {
 public:
  explicit Connection(Fd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  Role role = Role::kNew;
  backend::ProcessId process = backend::kMainProcess;  ///< kExec: which one
  bool carried = false;                                ///< it gets this process's output
  std::optional<Replay::Cursor> replayed;              ///< it still gets what came before
  std::optional<ExitInfo> owed_exit;                   ///< to be sent after that

  /// Reads what is there. False when the peer is gone or broke the protocol.
  bool receive();
  /// The next complete frame; an error ends the connection.
  Result<std::optional<wire::Frame>> next() { return reader_.next(); }
  /// Takes the descriptors that arrived so far.
  std::vector<Fd> take_fds() { return std::exchange(fds_, {}); }

  void reply(const backend::Reply& reply, std::vector<Fd> fds = {});
  void send_exit(const ExitInfo& exit);
  void send_data(std::uint32_t stream, std::uint64_t offset, std::string_view bytes);

  void grant(std::uint64_t bytes) { credit_ += std::min(bytes, UINT64_MAX - credit_); }
  /// How many bytes of output this client will take now. One that grants much and reads nothing
  /// is believed only as far as the shim can afford to wait for it.
  std::uint64_t credit() const {
    return std::min(credit_, kMostQueued - std::min(kMostQueued, queued_));
  }
  /// What to poll the socket for. Who does not read answers is not asked for more requests.
  std::uint32_t interest() const {
    return (queued_ < kMostQueued ? EPOLLIN : 0u) | (pending() ? EPOLLOUT : 0u);
  }

  /// Sends queued frames. False when the peer is gone.
  bool flush();
  bool pending() const { return !queue_.empty(); }
  /// Whether it has not got all that it is to get.
  bool owes() const { return pending() || owed_exit; }
  /// Bytes sent so far.
  std::uint64_t sent() const { return sent_; }

 private:
  static constexpr std::uint64_t kMostQueued = 2u << 20;

  struct Outgoing {
    std::string bytes;
    std::size_t sent = 0;
    std::vector<Fd> fds;
  };
  void send(std::string bytes, std::vector<Fd> fds = {});

  Fd socket_;
  wire::FrameReader reader_;
  std::vector<Fd> fds_;
  std::deque<Outgoing> queue_;
  std::uint64_t queued_ = 0;  ///< bytes in the queue
  std::uint64_t sent_ = 0;
  std::uint64_t credit_ = 0;
};

}  // namespace caisson::shim
