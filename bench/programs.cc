// One whole command: caisson run against bwrap and runc, in turn.
#include <unistd.h>

#include "bench/measure.h"

namespace caisson::bench {
namespace {

constexpr int kWarmUps = 5;

struct Program {
  std::string name;
  std::vector<std::string> argv;
};

std::vector<Program> programs(const Options& options) {
  std::vector<Program> all{
      {"run.caisson", {options.caisson, "run", "host:", "--", "true"}},
      {"run.bwrap",
       {"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc",
        "--dev", "/dev", "--tmpfs", "/tmp", "true"}},
      {"run.caisson_rm", {options.caisson, "run", "--rm", "host:", "--", "true"}},
      // What starting any program costs here; no peer, only a scale.
      {"run.true", {"true"}},
  };
  if (!options.runc.empty())
    all.push_back({"run.runc",
                   {"runc", "--root", options.runc + "/state", "run", "--bundle",
                    options.runc + "/true", format("caisson-bench-{}", ::getpid())}});
  return all;
}

}  // namespace

Result<> measure_programs(const Options& options, Samples& samples) {
  const std::vector<Program> all = programs(options);
  Calm calm;
  for (int round = -kWarmUps; round < options.rounds; ++round) {
    if (round >= 0) TRY(calm.wait(samples));
    for (const Program& program : all) {
      const double ms = TRY(time_program(program.argv));
      if (round >= 0) samples.add(program.name, ms);
    }
  }
  return {};
}

}  // namespace caisson::bench
