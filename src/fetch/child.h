// Child: a process of ours that is never left behind, and its socket.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace caisson::fetch {

class Child final {
 public:
  /// Forks; `body` gets the child's end of a SEQPACKET pair and returns the exit status. The child
  /// dies with us (prctl(2), PR_SET_PDEATHSIG). Only for processes with one thread.
  static Result<Child> start(std::string role, const std::function<int(Fd socket)>& body);
  Child(Child&& other) noexcept
      : role_(std::move(other.role_)),
        socket_(std::move(other.socket_)),
        pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  /// Kills and reaps.
  ~Child();

  int socket() const { return socket_.get(); }
  /// The next message, waiting for it; absent when the child has closed its end.
  Result<std::optional<std::string>> receive(std::vector<Fd>& fds);
  /// Never waits for the child: one that leaves more unheard than its socket holds is an error.
  /// That nobody is there any more is none: its end will be heard.
  Result<> send(std::string_view text) const;
  /// Closes the socket and waits for the end: nothing for exit status 0, `fetch_died` when a signal
  /// ended it, and for another status an error that a child that says why never shows. One that
  /// only pretended to end is killed.
  Result<> finish(int patience_ms = 10'000);

 private:
  Child(std::string role, Fd socket, pid_t pid)
      : role_(std::move(role)), socket_(std::move(socket)), pid_(pid) {}
  std::string role_;
  Fd socket_;
  pid_t pid_;
};

}  // namespace caisson::fetch
