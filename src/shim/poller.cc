#include "shim/poller.h"

#include <sys/epoll.h>

#include <algorithm>

#include "base/clock.h"

namespace caisson::shim {

Result<Poller> Poller::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return sys_error("create epoll", "");
  return Poller(std::move(epoll));
}

void Poller::watch(int fd, std::uint32_t events, Handler handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  const auto found = watches_.find(fd);
  const bool listed = found != watches_.end() && found->second.events != 0;
  const int op = listed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ::epoll_ctl(epoll_.get(), op, fd, &event);
  watches_[fd] = {events, std::move(handler)};
}

void Poller::change(int fd, std::uint32_t events) {
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second.events == events) return;
  // A descriptor at end of file reports EPOLLHUP even when no event is asked for, so a quiet one
  // leaves the set.
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  const int op = events == 0                 ? EPOLL_CTL_DEL
                 : found->second.events == 0 ? EPOLL_CTL_ADD
                                             : EPOLL_CTL_MOD;
  ::epoll_ctl(epoll_.get(), op, fd, &event);
  found->second.events = events;
}

void Poller::forget(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  if (found->second.events != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(found);
}

Poller::TimerId Poller::after(std::int64_t delay_ns, std::function<void()> handler) {
  const TimerId id = next_timer_++;
  const std::int64_t now = boot_ns();
  const std::int64_t delay = std::clamp<std::int64_t>(delay_ns, 0, INT64_MAX - now);
  timers_.emplace(now + delay, Timer{id, std::move(handler)});
  return id;
}

void Poller::cancel(TimerId id) {
  std::erase_if(timers_, [id](const auto& entry) { return entry.second.id == id; });
}

int Poller::timeout_ms() const {
  if (timers_.empty()) return -1;
  const std::int64_t left = timers_.begin()->first - boot_ns();
  return static_cast<int>(std::clamp<std::int64_t>((left + 999'999) / 1'000'000, 0, 60'000));
}

void Poller::run_timers() {
  while (!timers_.empty() && timers_.begin()->first <= boot_ns()) {
    const auto handler = std::move(timers_.begin()->second.handler);
    timers_.erase(timers_.begin());
    handler();
  }
}

void Poller::run_once() {
  epoll_event events[16];
  const int n = ::epoll_wait(epoll_.get(), events, 16, timeout_ms());
  for (int i = 0; i < n; ++i) {
    // A handler may have forgotten a later descriptor of this batch.
    const auto found = watches_.find(events[i].data.fd);
    if (found == watches_.end() || found->second.events == 0) continue;
    const Handler handler = found->second.handler;
    handler(events[i].events);
  }
  run_timers();
}

}  // namespace caisson::shim
