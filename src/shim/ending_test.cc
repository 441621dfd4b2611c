#include "shim/ending.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace caisson::shim {
namespace {

using enum ExitReason;

constexpr int exited(int code) { return code << 8; }
constexpr int signaled(int number) { return number; }
constexpr int dumped(int number) { return number | 0x80; }

struct Row {
  const char* what;
  EndingFacts facts;
  ExitReason reason;
};

// Every line is a sentence about how a program ended.
const Row kRows[] = {
    {"it exited with 0", {.wait_status = exited(0)}, kExited},
    {"it exited with 7", {.wait_status = exited(7)}, kExited},
    {"it exited with 0 although a fork was refused, the disk full and a child killed",
     {.wait_status = exited(0),
      .oom_killed = true,
      .fork_refused = true,
      .disk_full = true,
      .disk_limited = true},
     kExited},
    {"it failed after a child was killed for memory",
     {.wait_status = exited(1), .oom_killed = true},
     kOom},
    {"it failed after a refused fork", {.wait_status = exited(2), .fork_refused = true}, kPids},
    {"it failed on a full disk",
     {.wait_status = exited(1), .disk_full = true, .disk_limited = true},
     kDiskFull},
    {"it failed with both",
     {.wait_status = exited(1), .fork_refused = true, .disk_full = true},
     kPids},
    {"it died of its own signal", {.wait_status = signaled(SIGSEGV)}, kSignaled},
    {"it dumped core", {.wait_status = dumped(SIGABRT)}, kSignaled},
    {"it was killed by somebody inside", {.wait_status = signaled(SIGKILL)}, kSignaled},
    {"a filter killed it", {.wait_status = dumped(SIGSYS)}, kSignaled},
    {"memory ran out", {.wait_status = signaled(SIGKILL), .oom_killed = true}, kOom},
    {"memory ran out for a child, then it crashed",
     {.wait_status = signaled(SIGSEGV), .oom_killed = true},
     kSignaled},
    {"a file grew above the disk limit",
     {.wait_status = dumped(SIGXFSZ), .disk_limited = true},
     kDiskFull},
    {"a file grew above its own limit", {.wait_status = dumped(SIGXFSZ)}, kSignaled},
    {"a caller sent TERM", {.wait_status = signaled(SIGTERM), .sent_signals = {SIGTERM}}, kKilled},
    {"a caller sent KILL", {.wait_status = signaled(SIGKILL), .sent_signals = {SIGKILL}}, kKilled},
    {"a caller sent USR1, but it died of SEGV",
     {.wait_status = signaled(SIGSEGV), .sent_signals = {SIGUSR1}},
     kSignaled},
    {"a stop was obeyed by dying",
     {.wait_status = signaled(SIGTERM), .ended_by_us = kKilled, .sent_signals = {SIGTERM}},
     kKilled},
    {"a stop was obeyed by exiting",
     {.wait_status = exited(3), .ended_by_us = kKilled, .sent_signals = {SIGTERM}},
     kExited},
    {"a stop was ignored and enforced",
     {.wait_status = signaled(SIGKILL), .ended_by_us = kKilled, .sent_signals = {SIGTERM}},
     kKilled},
    {"a stop was asked for and it crashed",
     {.wait_status = signaled(SIGSEGV), .ended_by_us = kKilled, .sent_signals = {SIGTERM}},
     kSignaled},
    {"its time was over", {.wait_status = signaled(SIGKILL), .ended_by_us = kTimeout}, kTimeout},
    {"its time was over as it exited",
     {.wait_status = exited(0), .ended_by_us = kTimeout},
     kTimeout},
    {"its CPU time was over",
     {.wait_status = signaled(SIGKILL), .ended_by_us = kCpuTime},
     kCpuTime},
    {"it wrote too much",
     {.wait_status = signaled(SIGKILL), .ended_by_us = kOutputLimit},
     kOutputLimit},
    {"it filled the disk", {.wait_status = signaled(SIGKILL), .ended_by_us = kDiskFull}, kDiskFull},
    {"our kill goes before the memory's",
     {.wait_status = signaled(SIGKILL), .ended_by_us = kTimeout, .oom_killed = true},
     kTimeout},
    {"init was killed and nobody says why", {}, kSignaled},
    {"init was killed by us", {.ended_by_us = kTimeout}, kTimeout},
    {"init was killed for memory", {.oom_killed = true}, kOom},
};

TEST(Ending, EverySentenceHasItsReason) {
  for (const Row& row : kRows)
    EXPECT_EQ(to_string(judge(row.facts).reason), to_string(row.reason)) << row.what;
}

TEST(Ending, CodeOrSignalAndNeverBoth) {
  for (const Row& row : kRows) {
    const ExitInfo info = judge(row.facts);
    EXPECT_NE(info.exit_code.has_value(), info.signal.has_value()) << row.what;
  }
  EXPECT_EQ(judge({.wait_status = exited(255)}).exit_code, 255);
  EXPECT_EQ(judge({.wait_status = dumped(SIGABRT)}).signal, SIGABRT);
  EXPECT_EQ(judge({}).signal, SIGKILL);
}

}  // namespace
}  // namespace caisson::shim
