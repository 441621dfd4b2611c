// StageClock: the timings of a start.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "caisson/box.h"

namespace caisson::init {

/// Records how long each named stage took.
class StageClock final {
 public:
  explicit StageClock(std::chrono::nanoseconds prepared) : stages_{{"prepare", prepared}} {}
  void lap(std::string name) {
    const std::int64_t now = boot_ns();
    stages_.push_back({std::move(name), std::chrono::nanoseconds(now - last_)});
    last_ = now;
  }
  std::vector<StageTiming> take() { return std::move(stages_); }

 private:
  std::vector<StageTiming> stages_;
  std::int64_t last_ = boot_ns();
};

}  // namespace caisson::init
