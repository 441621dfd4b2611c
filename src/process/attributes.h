// Attributes: does for a confined process what Landlock cannot decide on: changes of modes, owners,
// times and extended attributes. The filter hands these calls to init (seccomp_unotify(2)), which
// opens the file that is meant, looks where it is, and does it by that descriptor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "process/plan.h"

namespace caisson::process {

class Attributes final {
 public:
  /// What this descriptor stands for, and what is below it, may be changed.
  Result<> allow(int fd);
  Result<> open();

  /// Readable when there is something to answer; -1 before open.
  int event_fd() const { return epoll_.get(); }
  /// Listeners come here; processes send theirs to the other end.
  int socket() const { return ours_.get(); }
  int theirs() const { return theirs_.get(); }
  void answer();

 private:
  void take_listener();
  bool answer_one(int listener);
  bool may_write(int fd) const;

  std::vector<std::string> writable_;
  Fd epoll_, ours_, theirs_;
  std::map<int, Fd> listeners_;
};

}  // namespace caisson::process
