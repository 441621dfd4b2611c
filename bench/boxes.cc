// Through the library: a whole life of a box, its start by stages, and execs in a running box.
#include <unistd.h>

#include "base/scope_exit.h"
#include "bench/measure.h"
#include "caisson/caisson.h"

namespace caisson::bench {
namespace {

constexpr int kWarmUps = 5;
constexpr int kExecsARound = 5;

BoxSpec sleeper() { return {.source = "host:", .command = {"sleep", "100000"}}; }

Result<> exec_true(Box& box) {
  Exec exec = TRY(box.exec({.command = {"/bin/true"}}));
  const ExitInfo exit = TRY(exec.wait());
  if (shell_status(exit) == 0) return {};
  return make_error(Code::kUnknown, "program_failed",
                    format("exec in box: ended with {}", shell_status(exit)));
}

/// The isolation without namespaces: from the call to the program's running, and its fork and exec
/// alone beside it.
Result<> one_process_start(Runtime& runtime, Samples& samples) {
  TRY(check_stop());
  BoxSpec spec = sleeper();
  spec.isolation = Isolation::kProcess;
  Box box = TRY(runtime.create(spec));
  ScopeExit remove([&box] { [[maybe_unused]] Result<> r = box.remove(true); });
  const std::int64_t start = boot_ns();
  TRY(box.start());
  samples.add("process.start", ms_since(start));
  samples.add("process.fork", TRY(time_program({"/bin/true"})));
  return {};
}

/// create, start `sleep`, exec `true` and wait for it, remove with force.
Result<> one_life(Runtime& runtime, Samples& samples) {
  TRY(check_stop());
  const std::int64_t begin = boot_ns();
  Box box = TRY(runtime.create(sleeper()));
  ScopeExit remove([&box] { [[maybe_unused]] Result<> r = box.remove(true); });
  samples.add("life.create", ms_since(begin));
  const std::int64_t start = boot_ns();
  TRY(box.start());
  samples.add("life.start", ms_since(start));
  const std::int64_t exec = boot_ns();
  TRY(exec_true(box));
  samples.add("life.exec", ms_since(exec));
  const std::int64_t removal = boot_ns();
  const double so_far = ms_since(begin);
  std::vector<StageTiming> stages = TRY(box.info()).stages;  // not part of the life
  const std::int64_t looked = boot_ns();
  remove.release();
  TRY(box.remove(true));
  samples.add("life.remove", ms_since(looked));
  samples.add("life.total", so_far + ms_since(looked));
  samples.add("life.info", static_cast<double>(looked - removal) / 1e6);
  for (std::size_t i = 0; i < stages.size(); ++i)
    samples.add(format("stage.{:02}.{}", i, stages[i].name),
                static_cast<double>(stages[i].duration.count()) / 1e6);
  return {};
}

/// runc with a container that sleeps.
class Runc final {
 public:
  explicit Runc(const Options& options)
      : directory_(options.runc), id_(format("caisson-bench-{}", ::getpid())) {}

  bool wanted() const { return !directory_.empty(); }
  Result<double> start() const {
    return time_program(words({"run", "--detach", "--bundle", directory_ + "/sleep", id_}));
  }
  Result<double> exec() const { return time_program(words({"exec", id_, "/bin/true"})); }
  Result<double> remove() const { return time_program(words({"delete", "--force", id_})); }

 private:
  std::vector<std::string> words(std::vector<std::string> rest) const {
    rest.insert(rest.begin(), {"runc", "--root", directory_ + "/state"});
    return rest;
  }
  std::string directory_, id_;
};

Result<double> runc_life(const Runc& runc) {
  double total = TRY(runc.start());
  ScopeExit remove([&runc] { [[maybe_unused]] Result<double> r = runc.remove(); });
  total += TRY(runc.exec());
  remove.release();
  return total + TRY(runc.remove());
}

Result<> measure_lives(const Options& options, Runtime& runtime, Samples& samples) {
  const Runc runc(options);
  Calm calm;
  for (int round = -kWarmUps; round < options.rounds; ++round) {
    Samples warm_up;
    if (round >= 0) TRY(calm.wait(samples));
    TRY(one_life(runtime, round < 0 ? warm_up : samples));
    TRY(one_process_start(runtime, round < 0 ? warm_up : samples));
    // runc takes ten times as long, and its median is as good from fewer rounds.
    if (!runc.wanted() || round < 0 || round % 3 != 0) continue;
    const double ms = TRY(runc_life(runc));
    samples.add("life.runc", ms);
  }
  return {};
}

Result<> one_exec_round(const Runc& runc, Box& box, Samples& samples) {
  for (int i = 0; i < kExecsARound; ++i) {
    TRY(check_stop());
    const std::int64_t begin = boot_ns();
    TRY(exec_true(box));
    samples.add("exec.caisson", ms_since(begin));
    samples.add("exec.fork", TRY(time_program({"/bin/true"})));
    // As another process would that comes back to its box.
    const std::int64_t again = boot_ns();
    Runtime runtime = TRY(Runtime::open());
    Box found = TRY(runtime.find(box.id()));
    const Exec main = TRY(found.attach({.exec = {}, .stdout_offset = 0, .stderr_offset = 0}));
    samples.add("attach.again", ms_since(again));
  }
  if (runc.wanted()) samples.add("exec.runc", TRY(runc.exec()));
  return {};
}

Result<> measure_execs(const Options& options, Runtime& runtime, Samples& samples) {
  Box box = TRY(runtime.create(sleeper()));
  ScopeExit remove([&box] { [[maybe_unused]] Result<> r = box.remove(true); });
  TRY(box.start());
  const Runc runc(options);
  if (runc.wanted()) TRY(runc.start());
  ScopeExit remove_runc([&runc] {
    if (runc.wanted()) [[maybe_unused]]
      Result<double> r = runc.remove();
  });
  Calm calm;
  for (int round = -kWarmUps; round < options.rounds; ++round) {
    Samples warm_up;
    if (round >= 0) TRY(calm.wait(samples));
    TRY(one_exec_round(runc, box, round < 0 ? warm_up : samples));
  }
  return {};
}

}  // namespace

Result<> measure_execs_in(const Options& options, Samples& samples) {
  Runtime runtime = TRY(Runtime::open());
  Box box = TRY(runtime.find(options.box));
  for (int round = -kWarmUps; round < options.rounds; ++round) {
    TRY(check_stop());
    const std::int64_t begin = boot_ns();
    TRY(exec_true(box));
    if (round >= 0) samples.add("exec", ms_since(begin));
  }
  return {};
}

Result<> measure_boxes(const Options& options, Samples& samples) {
  Runtime runtime = TRY(Runtime::open());
  TRY(measure_lives(options, runtime, samples));
  return measure_execs(options, runtime, samples);
}

}  // namespace caisson::bench
