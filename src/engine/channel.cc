#include "engine/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "sys/socket.h"

namespace caisson::engine {

int poll_timeout(const Deadline& deadline) {
  if (!deadline) return -1;
  const auto left = *deadline - std::chrono::steady_clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 1'000'000'000));
}

Error deadline_passed(std::string_view action) {
  return make_error(Code::kDeadlineExceeded, "deadline_passed",
                    format("{}: the deadline has passed", action));
}

namespace {

Error gone() {
  return make_error(Code::kUnavailable, "box_gone", "talk to box's shim: it is gone");
}

}  // namespace

Result<> Channel::send(std::string_view frame, const std::vector<int>& fds) const {
  std::vector<int> attached = fds;
  while (!frame.empty()) {
    const ssize_t n = sys::send_with_fds(socket_.get(), frame, attached);
    if (n == -EPIPE || n == -ECONNRESET) return gone();
    if (n < 0) return errno_error(static_cast<int>(-n), "send to box's shim", "");
    attached.clear();
    frame.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> Channel::send(const backend::Request& request, const std::vector<int>& fds) const {
  const std::string payload = backend::encode_request(request);
  if (payload.size() > wire::kMaxPayload)
    return make_error(Code::kResourceExhausted, "request_too_large",
                      format("send to box's shim: command and environment need {} bytes, at most "
                             "{} fit",
                             payload.size(), wire::kMaxPayload));
  return send(wire::encode({wire::FrameType::kRequest, 0, payload}), fds);
}

bool Channel::readable() const {
  pollfd polled{socket_.get(), POLLIN, 0};
  return ::poll(&polled, 1, 0) > 0;
}

void Channel::await_close() const {
  constexpr int kPatienceMs = 5000;
  pollfd polled{socket_.get(), POLLRDHUP, 0};
  ::poll(&polled, 1, kPatienceMs);
}

Result<bool> Channel::fill(int timeout_ms) {
  pollfd polled{socket_.get(), POLLIN, 0};
  const int ready = ::poll(&polled, 1, timeout_ms);
  if (ready < 0 && errno != EINTR) return sys_error("wait for box's shim", "");
  if (ready <= 0) return false;
  char buffer[65536];
  sys::Received got = sys::receive_with_fds(socket_.get(), buffer, sizeof buffer);
  if (got.bytes == 0 || got.bytes == -ECONNRESET) return gone();
  if (got.bytes < 0)
    return errno_error(static_cast<int>(-got.bytes), "receive from box's shim", "");
  for (Fd& fd : got.fds) fds_.push_back(std::move(fd));
  reader_.feed({buffer, static_cast<std::size_t>(got.bytes)});
  return true;
}

Result<wire::Frame> Channel::receive(const Deadline& deadline) {
  for (;;) {
    std::optional<wire::Frame> frame = TRY(reader_.next());
    if (frame) return std::move(*frame);
    const bool filled = TRY(fill(poll_timeout(deadline)));
    if (!filled && deadline && std::chrono::steady_clock::now() >= *deadline)
      return deadline_passed("wait for box's shim");
  }
}

Result<std::optional<wire::Frame>> Channel::poll_frame() {
  std::optional<wire::Frame> frame = TRY(reader_.next());
  if (frame || !TRY(fill(0))) return frame;
  return reader_.next();
}

Result<backend::Reply> Channel::reply(const Deadline& deadline) {
  const wire::Frame frame = TRY(receive(deadline));
  if (frame.type != wire::FrameType::kReply)
    return make_error(Code::kInternal, "protocol_error", "talk to box's shim: not a reply");
  backend::Reply reply = TRY(backend::decode_reply(frame.payload));
  if (reply.error) return std::move(*reply.error);
  return reply;
}

}  // namespace caisson::engine
