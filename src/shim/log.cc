#include "shim/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.h"

namespace caisson::shim {

bool Log::open() {
  if (file_ || failed_) return file_.valid();
  const std::string logs = directory_ + "/logs";
  if (::mkdir(logs.c_str(), 0700) == 0 || errno == EEXIST)
    file_ = open_fd(logs + "/output.log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600)
                .value_or(Fd());
  failed_ = !file_;
  return file_.valid();
}

/// What was in the older file is dropped.
void Log::rotate() {
  if (!file_) return;
  const std::string path = directory_ + "/logs/output.log";
  if (::rename(path.c_str(), (path + ".1").c_str()) < 0) return;
  file_.reset();
  dropped_ += std::exchange(rotated_, std::exchange(in_file_, 0));
}

void Log::append(Stream stream, std::string_view data) {
  if (rotates_ && data.size() > max_bytes_) {  // the newest of it
    dropped_ += data.size() - max_bytes_;
    data.remove_prefix(data.size() - max_bytes_);
  }
  if (rotates_ && in_file_ > 0 && in_file_ + data.size() > max_bytes_) rotate();
  const std::uint64_t room = max_bytes_ - std::min(max_bytes_, in_file_);
  std::string_view kept = data.substr(0, std::min<std::uint64_t>(room, data.size()));
  if (!kept.empty() && open()) {
    char header[16] = {};
    header[0] = static_cast<char>(stream);
    const auto length = static_cast<std::uint32_t>(kept.size());
    const std::int64_t now = wall_ns();
    std::memcpy(header + 4, &length, sizeof length);
    std::memcpy(header + 8, &now, sizeof now);
    const iovec parts[2] = {{header, sizeof header}, {const_cast<char*>(kept.data()), kept.size()}};
    const auto whole = static_cast<ssize_t>(sizeof header + kept.size());
    // A record that did not fit on the disk ends the log; readers ignore an incomplete last one.
    if (::writev(file_.get(), parts, 2) != whole) {
      failed_ = true;
      file_.reset();
    }
  }
  if (failed_) kept = {};
  written_ += kept.size();
  in_file_ += kept.size();
  dropped_ += data.size() - kept.size();
}

}  // namespace caisson::shim
