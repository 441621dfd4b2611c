#include "engine/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace caisson::engine {
namespace {

constexpr std::size_t kHeader = 16;
/// The shim reads 64 KiB at a time: a longer record is damage.
constexpr std::uint32_t kLongest = 1u << 20;

bool is_same_file(int a, int b) {
  struct stat first{}, second{};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

Result<Fd> open_log(const std::string& path) {
  Result<Fd> file = open_fd(path, O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().sys_errno == ENOENT) return Fd();
  return file;
}

}  // namespace

/// Whether there is a file after the one that was read to its end.
Result<bool> LogReader::find_next() {
  Fd current = TRY(open_log(directory_ + "/output.log"));
  if (!std::exchange(begun_, true)) {
    // After the current one: a rotation in between makes both the same, and skips nothing.
    file_ = TRY(open_log(directory_ + "/output.log.1"));
    if (file_ && current && is_same_file(file_.get(), current.get())) current.reset();
    (file_ ? next_ : file_) = std::move(current);
    return file_.valid();
  }
  if (!current || (file_ && is_same_file(file_.get(), current.get()))) return false;
  next_ = std::move(current);
  return true;
}

/// More bytes into the buffer; false at the end of what has been written.
Result<bool> LogReader::fill() {
  for (;;) {
    // Once more after a next one was seen: what came last before the rotation.
    const bool last = next_.valid();
    if (file_) {
      const std::size_t kept = buffer_.size();
      buffer_.resize(kept + (64 << 10));
      const ssize_t n = ::read(file_.get(), buffer_.data() + kept, 64 << 10);
      buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      if (n < 0) return sys_error("read", "output log");
      if (n > 0) return true;
    }
    if (last || (!file_ && next_)) {
      file_ = std::move(next_);
      buffer_.clear();  // half a record at the end of a rotated file will not be completed
    } else if (!TRY(find_next())) {
      return false;
    }
  }
}

Result<std::optional<LogRecord>> LogReader::next() {
  for (;;) {
    std::uint32_t length = 0;
    if (buffer_.size() >= kHeader) std::memcpy(&length, buffer_.data() + 4, sizeof length);
    if (length > kLongest) {  // nothing after this can be made out
      buffer_.clear();
      ::lseek(file_.get(), 0, SEEK_END);
      return std::optional<LogRecord>();
    }
    if (buffer_.size() >= kHeader + length) {
      LogRecord record;
      record.stream = buffer_[0] == 2 ? Stream::kStderr : Stream::kStdout;
      std::memcpy(&record.time_ns, buffer_.data() + 8, sizeof record.time_ns);
      record.data = buffer_.substr(kHeader, length);
      buffer_.erase(0, kHeader + length);
      return std::optional(std::move(record));
    }
    if (!TRY(fill())) return std::optional<LogRecord>();
  }
}

void keep_tail(std::deque<LogRecord>& records, std::size_t lines) {
  bool last_byte = true;  // an end of line there ends the last line, it does not begin another
  for (std::size_t i = records.size(); i-- > 0;) {
    std::string& data = records[i].data;
    for (std::size_t at = data.size(); at-- > 0;) {
      const bool ends_line = data[at] == '\n' && !std::exchange(last_byte, false);
      last_byte = false;
      if (!ends_line || --lines > 0) continue;
      data.erase(0, at + 1);
      records.erase(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
  }
}

}  // namespace caisson::engine
