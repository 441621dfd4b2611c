// Ledger: a list of things to do at the end that grows with the layer, so not in memory: what is
// more than a piece goes to a file without a name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace caisson::fetch {

struct LedgerEntry {
  enum class Kind : std::uint8_t {
    kImplicit,   ///< a directory that has no member (so far)
    kDirectory,  ///< a directory's final mode and time
    kHardLink,   ///< `path` is to be a link to `target`, which this layer does not have (so far)
  } kind = Kind::kImplicit;
  mode_t mode = 0;
  std::int64_t mtime = 0;
  std::uint32_t mtime_ns = 0;
  std::string path, target;
};

class Ledger final {
 public:
  /// The file is made in the directory `dir`, which outlives the ledger.
  explicit Ledger(int dir) : dir_(dir) {}
  Result<> add(const LedgerEntry& entry);
  /// In the order they came. `use` may be called for the same entries again by a further walk.
  Result<> each(const std::function<Result<>(const LedgerEntry&)>& use);

 private:
  Result<> spill();
  int dir_;
  Fd file_;
  std::string recent_;
};

}  // namespace caisson::fetch
