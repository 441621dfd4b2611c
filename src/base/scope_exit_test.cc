#include "base/scope_exit.h"

#include <gtest/gtest.h>

#include <string>

namespace caisson {
namespace {

TEST(ScopeExit, RunsAtTheEndInReverse) {
  std::string order;
  {
    const ScopeExit first([&] { order += "1"; });
    const ScopeExit second([&] { order += "2"; });
    order += "0";
  }
  EXPECT_EQ(order, "021");
}

TEST(ScopeExit, ReleasedDoesNothing) {
  int undone = 0;
  {
    ScopeExit undo([&] { ++undone; });
    undo.release();
  }
  EXPECT_EQ(undone, 0);
}

TEST(ScopeExit, RunsOnAnEarlyReturn) {
  int undone = 0;
  const auto leave = [&](bool early) {
    const ScopeExit undo([&] { ++undone; });
    return early ? 1 : 2;
  };
  EXPECT_EQ(leave(true) + leave(false), 3);
  EXPECT_EQ(undone, 2);
}

}  // namespace
}  // namespace caisson
