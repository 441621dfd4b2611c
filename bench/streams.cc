// Output in bulk: an exec's and a main process's against a plain pipe, in turn.
#include <unistd.h>

#include "base/fd.h"
#include "base/scope_exit.h"
#include "bench/measure.h"
#include "caisson/caisson.h"

namespace caisson::bench {
namespace {

constexpr int kRounds = 7;
constexpr std::uint64_t kBlock = 64u << 10;

std::vector<std::string> writer(std::uint64_t bytes) {
  return {"dd", "if=/dev/zero", "bs=64k", format("count={}", bytes / kBlock), "status=none"};
}

double mib_per_second(std::uint64_t bytes, std::int64_t begin_ns) {
  return static_cast<double>(bytes) / (1 << 20) / (ms_since(begin_ns) / 1e3);
}

Result<> check_bytes(std::uint64_t got, std::uint64_t wanted) {
  if (got == wanted) return {};
  return make_error(Code::kDataLoss, "bytes_lost",
                    format("read output: {} bytes came, {} were written", got, wanted));
}

Result<double> through_pipe(std::uint64_t bytes) {
  const std::int64_t begin = boot_ns();
  Pipe pipe = TRY(make_pipe());
  const pid_t pid = TRY(start_program(writer(bytes), pipe.write.get()));
  pipe.write.reset();
  std::string buffer(kBlock, '\0');
  std::uint64_t got = 0;
  for (;;) {
    const ssize_t n = ::read(pipe.read.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("read pipe", "");
    if (n == 0) break;
    got += static_cast<std::uint64_t>(n);
  }
  TRY(reap(pid, "dd"));
  TRY(check_bytes(got, bytes));
  return mib_per_second(bytes, begin);
}

Result<double> drain(Exec exec, std::uint64_t bytes, std::int64_t begin) {
  std::uint64_t got = 0;
  for (;;) {
    const std::optional<Output> output = TRY(exec.next_output());
    if (!output) break;
    got += output->data.size();
  }
  TRY(exec.wait());
  TRY(check_bytes(got, bytes));
  return mib_per_second(bytes, begin);
}

Result<double> through_exec(Box& box, std::uint64_t bytes) {
  const std::int64_t begin = boot_ns();
  Exec exec = TRY(box.exec({.command = writer(bytes)}));
  return drain(std::move(exec), bytes, begin);
}

/// Carried by the shim, and logged up to the output limit.
Result<double> through_main(Runtime& runtime, std::uint64_t bytes) {
  Box box = TRY(runtime.create({.source = "host:", .command = writer(bytes)}));
  ScopeExit remove([&box] { [[maybe_unused]] Result<> r = box.remove(true); });
  const std::int64_t begin = boot_ns();
  Exec main = TRY(box.start_attached());
  return drain(std::move(main), bytes, begin);
}

}  // namespace

Result<> measure_streams(const Options& options, Samples& samples) {
  const std::uint64_t bytes = options.stream_bytes / kBlock * kBlock;
  Runtime runtime = TRY(Runtime::open());
  Box box = TRY(runtime.create({.source = "host:", .command = {"sleep", "100000"}}));
  ScopeExit remove([&box] { [[maybe_unused]] Result<> r = box.remove(true); });
  TRY(box.start());
  Calm calm;
  for (int round = -1; round < kRounds; ++round) {
    if (round >= 0) TRY(calm.wait(samples));
    const double pipe = TRY(through_pipe(bytes));
    const double exec = TRY(through_exec(box, bytes));
    const double main = TRY(through_main(runtime, bytes));
    if (round < 0) continue;
    samples.add("stream.pipe", pipe);
    samples.add("stream.exec", exec);
    samples.add("stream.main", main);
  }
  return {};
}

}  // namespace caisson::bench
