// Poller: descriptors and timers of one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "base/fd.h"

namespace caisson::shim {

class Poller final {
 public:
  using Handler = std::function<void(std::uint32_t events)>;
  using TimerId = std::uint64_t;

  static Result<Poller> create();

  /// Calls `handler` when `fd` is ready for `events` (EPOLLIN ...). One entry per descriptor.
  void watch(int fd, std::uint32_t events, Handler handler);
  /// Changes the events of a watched descriptor; 0 keeps it registered but quiet.
  void change(int fd, std::uint32_t events);
  void forget(int fd);

  /// Calls `handler` once, `delay_ns` from now.
  TimerId after(std::int64_t delay_ns, std::function<void()> handler);
  void cancel(TimerId id);

  /// Waits for something and handles it.
  void run_once();

 private:
  explicit Poller(Fd epoll) : epoll_(std::move(epoll)) {}
  int timeout_ms() const;
  void run_timers();

  struct Watch {
    std::uint32_t events;
    Handler handler;
  };
  struct Timer {
    TimerId id;
    std::function<void()> handler;
  };
  Fd epoll_;
  std::map<int, Watch> watches_;
  std::multimap<std::int64_t, Timer> timers_;
  TimerId next_timer_ = 1;
};

}  // namespace caisson::shim
