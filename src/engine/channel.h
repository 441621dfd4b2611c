// Channel: a client's blocking side of one connection to a shim.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "backend/protocol.h"
#include "base/fd.h"
#include "caisson/exec.h"
#include "wire/frame.h"

namespace caisson::engine {

/// Milliseconds for poll(2) until `deadline`: -1 without one, 0 when it has passed.
int poll_timeout(const Deadline& deadline);
Error deadline_passed(std::string_view action);

class Channel final {
 public:
  explicit Channel(Fd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  Result<> send(std::string_view frame, const std::vector<int>& fds = {}) const;
  Result<> send(const backend::Request& request, const std::vector<int>& fds = {}) const;

  /// The next frame. `box_gone` when the shim closed the connection.
  Result<wire::Frame> receive(const Deadline& deadline = {});
  /// A complete frame if one has arrived already.
  Result<std::optional<wire::Frame>> poll_frame();
  /// The next frame as a reply; a reply with an error is that error.
  Result<backend::Reply> reply(const Deadline& deadline = {});

  /// Whether bytes have arrived that were not read yet, or the peer has gone.
  bool readable() const;

  /// After the exit event of a box: waits a moment until its shim has cleared everything away.
  void await_close() const;

  /// The descriptors that arrived, in order.
  std::vector<Fd> take_fds() { return std::exchange(fds_, {}); }

 private:
  Result<bool> fill(int timeout_ms);

  Fd socket_;
  wire::FrameReader reader_;
  std::vector<Fd> fds_;
};

}  // namespace caisson::engine
