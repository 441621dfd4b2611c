// Comparison: what a box has changed, told by a process of the guest's that looks at its disks.
#pragma once

#include "base/fd.h"
#include "guest/protocol.h"

namespace caisson::agent {

/// Mounts what there is, and starts the process.
class Comparison final {
 public:
  static Result<Comparison> start(const guest::Compare& request);

  /// What it finds can be read from here; taken once.
  Fd take_output() { return std::move(output_); }
  /// Polls readable when it has ended.
  int ended_fd() const { return process_.get(); }
  /// Whether all was well, after that.
  Result<> finish();

 private:
  Comparison(Fd process, Fd output, Fd failure)
      : process_(std::move(process)), output_(std::move(output)), failure_(std::move(failure)) {}

  Fd process_, output_, failure_;
};

}  // namespace caisson::agent
