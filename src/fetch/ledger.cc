#include "fetch/ledger.h"

#include <fcntl.h>

#include <cstring>

namespace caisson::fetch {
namespace {

constexpr std::size_t kPiece = 256 << 10;

/// An entry as bytes: this, then the path and the target.
struct Head {
  std::int64_t mtime;
  std::uint32_t mtime_ns, mode;
  std::uint32_t path_size, target_size;
  LedgerEntry::Kind kind;
};

/// How many bytes the entry at the beginning of `bytes` has; 0 when it is not all there.
std::size_t take(std::string_view bytes, LedgerEntry& entry) {
  Head head{};
  if (bytes.size() < sizeof head) return 0;
  std::memcpy(&head, bytes.data(), sizeof head);
  const std::size_t size = sizeof head + head.path_size + head.target_size;
  if (bytes.size() < size) return 0;
  entry.kind = head.kind;
  entry.mode = head.mode;
  entry.mtime = head.mtime;
  entry.mtime_ns = head.mtime_ns;
  entry.path.assign(bytes.substr(sizeof head, head.path_size));
  entry.target.assign(bytes.substr(sizeof head + head.path_size, head.target_size));
  return size;
}

Result<> take_all(std::string_view& bytes, const std::function<Result<>(const LedgerEntry&)>& use) {
  LedgerEntry entry;
  while (const std::size_t size = take(bytes, entry)) {
    bytes.remove_prefix(size);
    TRY(use(entry));
  }
  return {};
}

}  // namespace

Result<> Ledger::add(const LedgerEntry& entry) {
  Head head{};
  head.mtime = entry.mtime;
  head.mtime_ns = entry.mtime_ns;
  head.mode = entry.mode;
  head.path_size = static_cast<std::uint32_t>(entry.path.size());
  head.target_size = static_cast<std::uint32_t>(entry.target.size());
  head.kind = entry.kind;
  recent_.append(reinterpret_cast<const char*>(&head), sizeof head);
  recent_ += entry.path;
  recent_ += entry.target;
  return recent_.size() < kPiece ? Result<>() : spill();
}

Result<> Ledger::spill() {
  if (!file_) file_ = TRY(open_at(dir_, ".", O_TMPFILE | O_RDWR, 0600));
  TRY(write_all(file_.get(), recent_, "list of directories"));
  recent_.clear();
  return {};
}

Result<> Ledger::each(const std::function<Result<>(const LedgerEntry&)>& use) {
  if (file_) {
    std::string buffer;
    for (off_t offset = 0;;) {
      const std::size_t kept = buffer.size();
      buffer.resize(kept + kPiece);
      const ssize_t n = ::pread(file_.get(), buffer.data() + kept, kPiece, offset);
      if (n < 0) return sys_error("read", "list of directories");
      if (n == 0) break;
      offset += n;
      buffer.resize(kept + static_cast<std::size_t>(n));
      std::string_view rest = buffer;
      TRY(take_all(rest, use));
      buffer.erase(0, buffer.size() - rest.size());
    }
  }
  const std::string last = recent_;  // `use` may add
  std::string_view rest = last;
  return take_all(rest, use);
}

}  // namespace caisson::fetch
