// Countdown: a time limit that can be held. Time while it is held does not count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/clock.h"
#include "shim/poller.h"

namespace caisson::shim {

class Countdown final {
 public:
  Countdown() = default;
  /// The poller's timer refers to this one, so it stays where it is.
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;
  ~Countdown() { cancel(); }

  /// Calls `handler` once, when `ns` nanoseconds have passed that were not held.
  void start(Poller& poller, std::int64_t ns, std::function<void()> handler) {
    cancel();
    poller_ = &poller;
    left_ = ns;
    handler_ = std::move(handler);
    go_on();
  }
  void hold() {
    if (!timer_) return;
    poller_->cancel(*std::exchange(timer_, std::nullopt));
    left_ = std::max<std::int64_t>(0, left_ - (boot_ns() - since_));
  }
  /// Harmless when it was not held, or is over.
  void go_on() {
    if (timer_ || !handler_) return;
    since_ = boot_ns();
    timer_ = poller_->after(left_, [this] {
      timer_.reset();
      std::exchange(handler_, nullptr)();
    });
  }
  void cancel() {
    hold();
    handler_ = nullptr;
  }

 private:
  Poller* poller_ = nullptr;
  std::int64_t left_ = 0, since_ = 0;
  std::optional<Poller::TimerId> timer_;
  std::function<void()> handler_;
};

}  // namespace caisson::shim
