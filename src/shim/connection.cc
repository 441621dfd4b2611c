#include "shim/connection.h"

#include "sys/socket.h"

namespace caisson::shim {

bool Connection::receive() {
  char buffer[65536];
  // A client that never stops sending is read in portions, so that it costs neither the memory nor
  // the attention that others need; what is left is reported again.
  for (int portions = 0; portions < 16; ++portions) {
    sys::Received got = sys::receive_with_fds(socket_.get(), buffer, sizeof buffer);
    if (got.bytes == -EAGAIN) return true;
    if (got.bytes <= 0) return false;
    constexpr std::size_t kMaxHeldFds = 8;
    for (Fd& fd : got.fds)
      if (fds_.size() < kMaxHeldFds) fds_.push_back(std::move(fd));
    reader_.feed({buffer, static_cast<std::size_t>(got.bytes)});
    if (static_cast<std::size_t>(got.bytes) < sizeof buffer) return true;
  }
  return true;
}

void Connection::reply(const backend::Reply& reply, std::vector<Fd> fds) {
  backend::Reply counted = reply;
  counted.fds = static_cast<int>(fds.size());
  send(wire::encode({wire::FrameType::kReply, 0, backend::encode_reply(counted)}), std::move(fds));
}

void Connection::send_exit(const ExitInfo& exit) {
  send(wire::encode({wire::FrameType::kEvent, 0, backend::encode_exit(exit)}));
}

void Connection::send_data(std::uint32_t stream, std::uint64_t offset, std::string_view bytes) {
  credit_ -= std::min<std::uint64_t>(credit_, bytes.size());
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, wire::kMaxData);
    send(wire::encode_data(stream, offset, part));
    offset += part.size();
    bytes.remove_prefix(part.size());
  }
}

void Connection::send(std::string bytes, std::vector<Fd> fds) {
  queued_ += bytes.size();
  queue_.push_back({std::move(bytes), 0, std::move(fds)});
}

bool Connection::flush() {
  while (!queue_.empty()) {
    Outgoing& front = queue_.front();
    std::vector<int> fds;
    for (const Fd& fd : front.fds) fds.push_back(fd.get());
    const ssize_t n =
        sys::send_with_fds(socket_.get(), std::string_view(front.bytes).substr(front.sent), fds);
    if (n == -EAGAIN) return true;
    if (n < 0) return false;
    front.fds.clear();  // they went with the first byte
    front.sent += static_cast<std::size_t>(n);
    queued_ -= static_cast<std::uint64_t>(n);
    sent_ += static_cast<std::uint64_t>(n);
    if (front.sent == front.bytes.size()) queue_.pop_front();
  }
  return true;
}

}  // namespace caisson::shim
