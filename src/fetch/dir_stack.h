// DirStack: the directory last worked in and those above it, open, so that the next name costs
// only what is different. Names are looked up one by one and symbolic links never followed.
#pragma once

#include <sys/stat.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace caisson::fetch {

using Components = std::span<const std::string_view>;

class DirStack final {
 public:
  enum class Mode {
    kPath,  ///< O_PATH: enough to work below the directory
    kRead,  ///< for reading, attributes included; notes which directories are opaque
  };
  /// `root` outlives the stack.
  DirStack(int root, Mode mode) : root_(root), mode_(mode) {}

  /// Keeps what is on the way to `path` and returns how many of its components that is.
  std::size_t match(Components path);
  /// Enters `name` of the top; 0 or an errno (ENOTDIR for what is no directory).
  int push(std::string_view name);
  /// Goes to `path`; 0 or the errno of the first component that cannot be entered.
  int open(Components path);

  int top() const { return levels_.empty() ? root_ : levels_.back().fd.get(); }
  std::size_t depth() const { return levels_.size(); }
  /// Whether the top or a directory above it (not the root) is opaque; kRead.
  bool in_opaque() const { return !levels_.empty() && levels_.back().in_opaque; }
  /// Whether a directory above the top is.
  bool below_opaque() const { return levels_.size() > 1 && levels_[levels_.size() - 2].in_opaque; }
  void clear() { levels_.clear(); }

 private:
  struct Level {
    std::string name;
    Fd fd;
    bool in_opaque = false;
  };
  int root_;
  Mode mode_;
  std::vector<Level> levels_;
};

/// A device 0:0, which hides a name of the layers below.
bool is_whiteout(const struct stat& st);
/// Whether the directory `fd` (not O_PATH) hides what layers below have in it.
bool is_opaque(int fd);

/// The components of a name that is known to be safe.
void split_path(std::string_view path, std::vector<std::string_view>& components);
std::string join_path(Components components);

}  // namespace caisson::fetch
