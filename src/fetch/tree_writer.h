// TreeWriter: makes a layer's tree as overlayfs wants it, member by member. Names come from
// split_name; nothing outside of the root can be reached by them, whatever the tree holds:
//
//   - a name's directories are entered one by one, never through a symbolic link. What stands in
//     the way of a directory and is none, a symbolic link too, is replaced, as by Docker's
//     overlay2;
//   - of members with one name the last wins; two directories become one;
//   - a whiteout hides what the layers below have, whether it comes before or after a member of
//     this layer with its name (image-spec, layer.md): a directory then is opaque.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fetch/attributes.h"
#include "fetch/dir_stack.h"
#include "fetch/ledger.h"
#include "fetch/unpacker.h"

namespace caisson::fetch {

/// A directory without member has this mode until the end: no member's directory has it before.
constexpr mode_t kImplicitMode = 01700;

/// What a member says of itself.
struct Attributes {
  mode_t mode = 0;  ///< without the type
  Owner owner;
  Times times;
};

class TreeWriter final {
 public:
  /// `root` is an empty directory and outlives the writer. With `make_devices` devices are made,
  /// else (or when the kernel refuses) recorded.
  TreeWriter(int root, const LayerCaps& caps, Ownership ownership, bool make_devices);
  /// Before the first member.
  Result<> begin();

  /// An empty path is the root. Where attributes that need the open directory are to be set,
  /// `open_directory` is for the one made last.
  Result<> directory(Components path, const Attributes& attributes);
  Result<Fd> open_directory(Components path);
  /// Empty, for writing; `finish_file` when its content and extended attributes are there.
  Result<Fd> file(Components path, mode_t mode);
  Result<> finish_file(int fd, const Attributes& attributes);
  Result<> symbolic_link(Components path, const std::string& target, const Attributes& attributes);
  Result<> hard_link(Components path, Components target);
  /// `type`: S_IFCHR, S_IFBLK or S_IFIFO.
  Result<> special(Components path, mode_t type, unsigned major, unsigned minor,
                   const Attributes& attributes);
  Result<> whiteout(Components path);
  Result<> opaque(Components path);

  bool root_is_opaque() const { return root_opaque_; }
  /// Whether something is left to do for which the layers below are needed.
  bool needs_parents() const { return implicit_ || deferred_links_ || root_opaque_; }
  Ledger& ledger() { return ledger_; }
  const Ownership& ownership() const { return ownership_; }
  int root() const { return root_; }
  /// Blocks of all that is no directory, in bytes.
  std::uint64_t disk_bytes() const { return disk_bytes_; }
  void add_disk_bytes(std::uint64_t bytes) { disk_bytes_ += bytes; }

  /// For the end: goes to the directory of `path`, where its last component is then free. False
  /// when something else is there that came later, or the directory has been replaced.
  Result<bool> make_room(Components path);
  int top() const { return stack_.top(); }

 private:
  Result<int> enter(Components parents);
  Result<> make_implicit(Components path);
  /// Makes `name` free in the directory on top. Tells whether a whiteout was there.
  Result<bool> remove_existing(const std::string& name);
  Result<> count_entry();
  template <class Make>
  Result<> make_over(const std::string& name, std::string_view action, Make make);
  Result<> set_opaque(int parent, const std::string& name);
  Result<> merge_directory(int parent, const std::string& name, const Attributes& attributes);
  Result<> record_owner(int parent, const std::string& name, const Attributes& attributes);
  Result<> record_device(int parent, const std::string& name, const std::string& device,
                         const Attributes& attributes);

  int root_;
  LayerCaps caps_;
  Ownership ownership_;
  bool make_devices_;
  DirStack stack_;    ///< where members are made
  DirStack targets_;  ///< where hard links point
  Ledger ledger_;
  std::uint64_t entries_ = 0, disk_bytes_ = 0;
  bool root_opaque_ = false, implicit_ = false, deferred_links_ = false;
};

}  // namespace caisson::fetch
