// ScopeExit: one undo, run at the end of the scope unless released.
#pragma once

#include <utility>

namespace caisson {

template <class F>
class [[nodiscard]] ScopeExit final {
 public:
  explicit ScopeExit(F undo) : undo_(std::move(undo)) {}
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;
  ~ScopeExit() {
    if (active_) undo_();
  }
  void release() { active_ = false; }

 private:
  F undo_;
  bool active_ = true;
};

}  // namespace caisson
