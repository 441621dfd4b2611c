// Connection: one client of the shim.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "backend/protocol.h"
#include "base/fd.h"
#include "wire/frame.h"

namespace caisson::shim {

/// What a connection is for, decided by its first request.
enum class Role { kNew, kMain, kWaiter, kExec };

class Connection final {
 public:
  explicit Connection(Fd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  Role role = Role::kNew;
  backend::ProcessId process = backend::kMainProcess;  ///< kExec: which one

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
  /// How many bytes of output this client will take now.
  std::uint64_t credit() const { return credit_; }

  /// Sends queued frames. False when the peer is gone.
  bool flush();
  bool pending() const { return !queue_.empty(); }

 private:
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
  std::uint64_t credit_ = 0;
};

}  // namespace caisson::shim
