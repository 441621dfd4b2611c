#include "shim/main_output.h"

#include <sys/epoll.h>

#include <algorithm>

namespace caisson::shim {

void MainOutput::open(Fd out, Fd err) {
  streams_[0].fd = std::move(out);
  streams_[1].fd = std::move(err);
  for (std::size_t i = 0; i < 2; ++i) {
    if (!streams_[i].fd) continue;
    [[maybe_unused]] Result<> set = set_nonblocking(streams_[i].fd.get());
    poller_.watch(streams_[i].fd.get(), EPOLLIN, [this, i](std::uint32_t) {
      if (room_ > 0) read(i, room_);
    });
  }
  set_room(room_);
}

void MainOutput::set_room(std::uint64_t bytes) {
  room_ = bytes;
  for (const Kept& kept : streams_)
    if (kept.fd) poller_.change(kept.fd.get(), room_ > 0 ? EPOLLIN : 0u);
}

void MainOutput::drain() {
  // More than a pipe holds: the box is gone, and whoever outside got hold of its end and goes on
  // writing is not listened to for ever.
  constexpr std::uint64_t kMost = 16u << 20;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::uint64_t end = streams_[i].offset + kMost;
    while (streams_[i].fd && streams_[i].offset < end && read(i, end - streams_[i].offset)) {
    }
    if (streams_[i].fd) close(i);
  }
}

bool MainOutput::read(std::size_t index, std::uint64_t room) {
  Kept& kept = streams_[index];
  char buffer[65536];
  const ssize_t n = ::read(kept.fd.get(), buffer, std::min<std::uint64_t>(sizeof buffer, room));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (n <= 0) {  // a terminal whose last user is gone answers EIO
    close(index);
    return false;
  }
  const std::string_view data(buffer, static_cast<std::size_t>(n));
  if (log_ != nullptr) log_->append(static_cast<Stream>(index + 1), data);
  const std::uint64_t offset = kept.offset;
  kept.offset += data.size();
  sink_(static_cast<std::uint32_t>(index + 1), offset, data);
  return true;
}

void MainOutput::close(std::size_t index) {
  poller_.forget(streams_[index].fd.get());
  streams_[index].fd.reset();
}

}  // namespace caisson::shim
