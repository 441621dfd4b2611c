#include "files/stream.h"

#include <sys/socket.h>

#include <algorithm>

namespace caisson::files {

Result<> Stream::send_bytes(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("send to client", "");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> Stream::send(const wire::Frame& frame) const { return send_bytes(wire::encode(frame)); }

Result<> Stream::send_data(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, wire::kMaxData);
    TRY(send_bytes(wire::encode_data(1, offset_, piece)));
    offset_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Result<> Stream::send_document(std::string_view bytes) const {
  return send_bytes(wire::encode_data(1, 0, bytes));
}

Result<wire::Frame> Stream::receive() {
  for (;;) {
    if (std::optional<wire::Frame> frame = TRY(reader_.next())) return std::move(*frame);
    char buffer[65536];
    const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("receive from client", "");
    if (n == 0) return make_error(Code::kCancelled, "client_gone", "serve files: client is gone");
    reader_.feed({buffer, static_cast<std::size_t>(n)});
  }
}

}  // namespace caisson::files
