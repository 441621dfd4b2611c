#include "shim/replay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace caisson::shim {
namespace {

/// A process that writes to its two streams in turn makes a record of each byte.
constexpr std::size_t kMostRecords = 16384;

}  // namespace

bool Replay::open() {
  if (file_ || failed_) return file_.valid();
  file_ = Fd(::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file_ && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string path = directory_ + "/replay-XXXXXX";
    file_ = Fd(::mkostemp(path.data(), O_CLOEXEC));
    if (file_) ::unlink(path.c_str());
  }
  failed_ = !file_;
  return file_.valid();
}

/// The file is a ring of `max_bytes_`.
bool Replay::write(std::uint64_t position, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::uint64_t at = position % max_bytes_;
    const std::string_view piece = bytes.substr(0, max_bytes_ - at);
    const ssize_t n = ::pwrite(file_.get(), piece.data(), piece.size(), static_cast<off_t>(at));
    if (n <= 0) return false;
    position += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void Replay::make_room() {
  while (!records_.empty() && (kept_ > max_bytes_ || records_.size() > kMostRecords)) {
    Record& oldest = records_.front();
    const std::uint64_t over = kept_ > max_bytes_ ? kept_ - max_bytes_ : oldest.length;
    const std::uint64_t cut = std::min(over, oldest.length);
    oldest.offset += cut;
    oldest.position += cut;
    oldest.length -= cut;
    kept_ -= cut;
    if (oldest.length > 0) continue;
    records_.pop_front();
    ++first_;
  }
}

void Replay::append(std::uint32_t stream, std::string_view bytes) {
  std::uint64_t& total = total_[stream - 1];
  const std::uint64_t offset = total;
  total += bytes.size();
  if (max_bytes_ == 0 || bytes.empty() || !open()) return;
  const std::string_view kept =
      bytes.substr(bytes.size() - std::min<std::uint64_t>(bytes.size(), max_bytes_));
  if (!write(position_, kept)) {
    failed_ = true;
    file_.reset();
    first_ += records_.size();
    records_.clear();
    kept_ = 0;
    return;
  }
  const std::uint64_t begin = offset + (bytes.size() - kept.size());
  if (!records_.empty() && records_.back().stream == stream &&
      records_.back().offset + records_.back().length == begin)
    records_.back().length += kept.size();
  else
    records_.push_back({stream, begin, kept.size(), position_});
  position_ += kept.size();
  kept_ += kept.size();
  make_room();
}

std::optional<Replay::Piece> Replay::next(Cursor& cursor, std::uint64_t max) const {
  cursor.record = std::max(cursor.record, first_);
  // The newest record may still grow: it is never left behind.
  for (; cursor.record < first_ + records_.size(); ++cursor.record) {
    const Record& record = records_[cursor.record - first_];
    std::uint64_t& had = cursor.had[record.stream - 1];
    const std::uint64_t begin = std::max(had, record.offset);
    const std::uint64_t end = record.offset + record.length;
    if (begin < end && max > 0) {
      Piece piece{record.stream, begin, std::string(std::min(end - begin, max), '\0')};
      const std::uint64_t at = (record.position + (begin - record.offset)) % max_bytes_;
      piece.bytes.resize(std::min<std::uint64_t>(piece.bytes.size(), max_bytes_ - at));
      const ssize_t n =
          ::pread(file_.get(), piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(at));
      if (n <= 0) return std::nullopt;
      piece.bytes.resize(static_cast<std::size_t>(n));
      had = begin + piece.bytes.size();
      return piece;
    }
    if (begin < end || cursor.record + 1 == first_ + records_.size()) break;
  }
  return std::nullopt;
}

}  // namespace caisson::shim
