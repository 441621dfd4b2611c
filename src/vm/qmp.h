// Qmp: QEMU's control socket (docs/interop/qmp-intro of QEMU), one command at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/fd.h"

namespace caisson::vm {

class Qmp final {
 public:
  /// Takes part in the greeting, which QEMU sends when it has started.
  static Result<Qmp> open(Fd socket);

  /// Sends a command and waits for its answer; events are passed over. Errors: `qemu_failed` with
  /// QEMU's words, `qemu_silent` after ten seconds.
  Result<nlohmann::json> call(const std::string& command, const nlohmann::json& arguments,
                              const std::vector<int>& fds = {});
  Result<> call(const std::string& command);
  /// The descriptor is /dev/fdset/`set` to QEMU from now on.
  Result<> add_fd(int fd, int set);

 private:
  explicit Qmp(Fd socket) : socket_(std::move(socket)) {}
  Result<nlohmann::json> next(std::int64_t deadline_ns);

  Fd socket_;
  std::string buffer_;
};

}  // namespace caisson::vm
