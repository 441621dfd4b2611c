// Measuring: samples by name, programs run to their end, and a stop on Ctrl-C.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace caisson::bench {

/// What one run of caisson-bench is to measure, and with what.
struct Options {
  std::string part;     ///< programs, boxes, execs, idle or streams
  std::string caisson;  ///< the command
  std::string box;      ///< that execs run in
  std::string runc;     ///< directory with the bundles `true` and `sleep`; empty: without runc
  int rounds = 60;
  int boxes = 1000;
  std::uint64_t stream_bytes = 1ull << 30;
};

/// Every measured value under its name, in the order of measuring.
class Samples final {
 public:
  void add(const std::string& name, double value) { values_[name].push_back(value); }
  /// One line a name: `name value value ...`.
  void print() const;

 private:
  std::map<std::string, std::vector<double>> values_;
};

/// Milliseconds since an earlier `boot_ns()`.
inline double ms_since(std::int64_t begin_ns) {
  return static_cast<double>(boot_ns() - begin_ns) / 1e6;
}

/// A program found in PATH and started with null streams; `out` replaces its stdout.
Result<pid_t> start_program(const std::vector<std::string>& argv, int out = -1);
/// Waits for it; anything but exit status 0 is an error.
Result<> reap(pid_t pid, std::string_view name);
/// Starts and reaps a program; the milliseconds it took.
Result<double> time_program(const std::vector<std::string>& argv);

/// Lets a round begin on an idle machine: waits until nothing else runs, but all rounds together
/// not longer than a minute. Adds to `busy_rounds` 1 for a round that begins on a busy one, else 0.
class Calm final {
 public:
  Result<> wait(Samples& samples);

 private:
  int tries_left_ = 600;
};

/// From here on SIGINT and SIGTERM make `check_stop` fail instead of ending the process.
void catch_stop_signals();
Result<> check_stop();

Result<> measure_programs(const Options& options, Samples& samples);
Result<> measure_boxes(const Options& options, Samples& samples);
/// Execs in one box that runs.
Result<> measure_execs_in(const Options& options, Samples& samples);
Result<> measure_idle(const Options& options, Samples& samples);
Result<> measure_streams(const Options& options, Samples& samples);

}  // namespace caisson::bench
