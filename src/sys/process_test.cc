#include "sys/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

namespace caisson::sys {
namespace {

using std::chrono::nanoseconds;

constexpr std::string_view kIo =
    "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\n"
    "cancelled_write_bytes: 1\n";

/// A line of stat with the given command; utime stime cutime cstime are 100, 20, 3 and 4 ticks.
std::string stat_of(std::string_view comm) {
  return format("42 ({}) S 1 42 42 0 -1 4194560 10 0 0 0 100 20 3 4 20 0 1 0 5 6 7\n", comm);
}
nanoseconds ticks(std::int64_t n) {
  return nanoseconds(n * (1'000'000'000 / ::sysconf(_SC_CLK_TCK)));
}

TEST(ProcessIo, Parses) {
  const auto io = parse_process_io(kIo);
  ASSERT_TRUE(io);
  EXPECT_EQ(io->read_bytes, 4096u);
  EXPECT_EQ(io->write_bytes, 8192u) << "not the cancelled ones";
}

TEST(ProcessIo, AbsentWhenAFieldIs) {
  EXPECT_FALSE(parse_process_io(""));
  EXPECT_FALSE(parse_process_io("rchar: 1\nread_bytes: 1\n"));
  EXPECT_FALSE(parse_process_io("rchar: 1\nread_bytes: x\nwrite_bytes: 1\n"));
  EXPECT_FALSE(parse_process_io("rchar: 1\nread_bytes: 99999999999999999999\nwrite_bytes: 1\n"));
  EXPECT_FALSE(process_io(-1));
}

TEST(CpuTime, CountsTheReapedChildrenToo) { EXPECT_EQ(parse_cpu_time(stat_of("sh")), ticks(127)); }

TEST(CpuTime, TheCommandMayBeAnything) {
  for (const char* comm :
       {"", " ", "a b c", ")", "((", ") S 1 1 1 1 1 1 1 1 1 1 9999 9999 ", "x\n42 (y", "\xff\xfe"})
    EXPECT_EQ(parse_cpu_time(stat_of(comm)), ticks(127)) << comm;
}

TEST(CpuTime, AbsentWhenCutShort) {
  EXPECT_FALSE(parse_cpu_time(""));
  EXPECT_FALSE(parse_cpu_time("42 (sh"));
  EXPECT_FALSE(parse_cpu_time("42 (sh) S 1 2 3"));
  const std::string whole = stat_of("sh");
  EXPECT_FALSE(parse_cpu_time(std::string_view(whole).substr(0, whole.find(" 3 4 20"))));
}

TEST(CpuTime, OfAllProcessesOfAProcfs) {
  const std::int64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < begin + 50'000'000) {
  }
  const Fd proc = open_fd("/proc", O_PATH | O_DIRECTORY).value();
  EXPECT_GE(proc_cpu_time(proc.get()), nanoseconds(20'000'000));
  EXPECT_EQ(proc_cpu_time(-1), nanoseconds(0));
}

}  // namespace
}  // namespace caisson::sys
