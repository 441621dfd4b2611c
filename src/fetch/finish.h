// The end of a layer's tree: what needs the layers below, and the directories' times.
#pragma once

#include <memory>

#include "fetch/tree_writer.h"

namespace caisson::fetch {

/// The trees below, nearest first.
class Parents final {
 public:
  Parents() = default;
  /// Each is `<hex of chain id>` in `staging` or in `layers`.
  static Result<Parents> open(int staging, int layers, const std::vector<std::string>& chain_ids);

  struct Found {
    int dir = -1;  ///< holds `name`; valid until the next look
    std::string name;
    struct stat st{};
  };
  /// What a mount of these trees shows at `path`; false when it is nothing.
  Result<bool> find(Components path, Found& found);
  /// Calls `use` with the names that such a mount shows in its root.
  Result<> each_root_name(const std::function<Result<>(const std::string&)>& use);

 private:
  struct Tree {
    Fd root;
    std::unique_ptr<DirStack> stack;
  };
  std::vector<Tree> trees_;
};

/// Makes deferred hard links, gives directories without member their attributes and all
/// directories their times. Adds the directories' blocks to the tree's.
Result<> finish_tree(TreeWriter& tree, Parents& parents);

/// The names in an open directory, sorted.
Result<std::vector<std::string>> read_names(int dir, std::string_view label);

}  // namespace caisson::fetch
