// Collects the attempts on one defence.
#pragma once

#include <unistd.h>

#include <string>
#include <string_view>

namespace caisson::trial {

class Attempts final {
 public:
  void broke(bool succeeded, std::string_view what) {
    if (!succeeded) return;
    if (!broken_.empty()) broken_ += "; ";
    broken_ += what;
  }
  /// An attempt that gave a descriptor.
  void opened(int fd, std::string_view what) {
    broke(fd >= 0, what);
    if (fd >= 0) ::close(fd);
  }
  /// What succeeded.
  const std::string& broken() const { return broken_; }

 private:
  std::string broken_;
};

}  // namespace caisson::trial
