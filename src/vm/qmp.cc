#include "vm/qmp.h"

#include <poll.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "spec/json.h"
#include "sys/socket.h"

namespace caisson::vm {
namespace {

using nlohmann::json;

/// Of an answer; the largest that we ask for has a few hundred bytes.
constexpr std::size_t kMostBytes = 1 << 20;

constexpr std::int64_t kPatience = 10'000'000'000;

}  // namespace

Result<Qmp> Qmp::open(Fd socket) {
  Qmp qmp(std::move(socket));
  const json greeting = TRY(qmp.next(boot_ns() + kPatience));
  if (!greeting.contains("QMP"))
    return make_error(Code::kInternal, "qemu_failed", "talk to qemu: no greeting");
  TRY(qmp.call("qmp_capabilities"));
  return qmp;
}

Result<json> Qmp::next(std::int64_t deadline_ns) {
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return spec::parse_json(line);
    }
    const std::int64_t left = deadline_ns - boot_ns();
    pollfd polled{socket_.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&polled, 1, static_cast<int>(left / 1'000'000 + 1)) == 0)
      return make_error(Code::kDeadlineExceeded, "qemu_silent", "talk to qemu: it does not answer");
    char chunk[4096];
    const ssize_t n = ::read(socket_.get(), chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0 || buffer_.size() > kMostBytes)
      return make_error(Code::kUnavailable, "qemu_failed", "talk to qemu: it is gone");
    buffer_.append(chunk, static_cast<std::size_t>(n));
  }
}

Result<json> Qmp::call(const std::string& command, const json& arguments,
                       const std::vector<int>& fds) {
  const std::int64_t deadline = boot_ns() + kPatience;
  json request = {{"execute", command}};
  if (!arguments.is_null()) request["arguments"] = arguments;
  const std::string text = request.dump() + "\n";
  const ssize_t sent = sys::send_with_fds(socket_.get(), text, fds);
  if (sent < 0) return errno_error(static_cast<int>(-sent), "talk to qemu", "");
  TRY(write_all(socket_.get(), std::string_view(text).substr(static_cast<std::size_t>(sent)),
                "qemu"));
  for (;;) {
    const json answer = TRY(next(deadline));
    if (answer.contains("event")) continue;
    if (const auto found = answer.find("return"); found != answer.end()) return *found;
    const auto error = answer.find("error");
    std::string cause = "neither an answer nor an error";
    if (error != answer.end() && error->is_object() && error->contains("desc") &&
        (*error)["desc"].is_string())
      cause = (*error)["desc"].get<std::string>();
    return make_error(Code::kInternal, "qemu_failed", format("{}: {}", command, cause));
  }
}

Result<> Qmp::call(const std::string& command) {
  TRY(call(command, json()));
  return {};
}

Result<> Qmp::add_fd(int fd, int set) {
  TRY(call("add-fd", {{"fdset-id", set}}, {fd}));
  return {};
}

}  // namespace caisson::vm
