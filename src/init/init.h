// The first process of a box: builds what the box's processes see, gives up its privileges, then
// forks every process and reaps. It is PID 1 of a container, a subreaper (prctl(2)) elsewhere.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "init/exec_block.h"

namespace caisson::init {

/// What the inits of different isolations do differently. Used in the init process alone.
class World {
 public:
  virtual ~World() = default;

  struct Built {
    Fd root, terminals;  ///< the box's / and /dev/pts (O_PATH)
    std::vector<std::string> warnings;
  };
  /// Builds what the box's processes see, with all the privileges that there are.
  virtual Result<Built> build() = 0;
  /// Gives them up; the shim prepares the first process meanwhile. Nothing is started before.
  virtual Result<> seal() = 0;
  /// What every process gets; valid after build.
  virtual ExecContext context() const = 0;
  /// Descriptors to keep open to the end; valid after build.
  virtual std::vector<int> held() const { return {}; }
  /// One that is readable when `on_event` has something to do; -1: none.
  virtual int event_fd() const { return -1; }
  virtual void on_event() {}
  /// To every process of the box but init.
  virtual void signal_all(int number) = 0;
};

/// `control`: the SOCK_SEQPACKET to the shim.
[[noreturn]] void run_init(int control, World& world);

}  // namespace caisson::init
