#include "fetch/finish.h"

#include <fcntl.h>

#include <map>

#include "spec/text.h"

namespace caisson::fetch {
namespace {

/// Files of layers below that one layer may link to. Each is copied once, so that all copies are no
/// more than what those layers have.
constexpr std::size_t kMostLinkedFiles = 16384;

class Finisher final {
 public:
  Finisher(TreeWriter& tree, Parents& parents)
      : tree_(tree), parents_(parents), own_(tree.root(), DirStack::Mode::kRead) {}

  Result<> run() {
    TRY(tree_.ledger().each([&](const LedgerEntry& entry) -> Result<> {
      if (entry.kind != LedgerEntry::Kind::kHardLink) return {};
      Result<> made = hard_link(entry);
      return made ? std::move(made)
                  : with_context(std::move(made).error(), spec::quote(entry.path));
    }));
    if (tree_.root_is_opaque()) TRY(hide_root());
    own_.clear();
    // Last, because whatever is made in a directory changes its time.
    return tree_.ledger().each([&](const LedgerEntry& entry) -> Result<> {
      if (entry.kind == LedgerEntry::Kind::kHardLink) return {};
      Result<> done = directory(entry);
      return done ? std::move(done)
                  : with_context(std::move(done).error(), spec::quote(entry.path));
    });
  }

 private:
  Result<> hard_link(const LedgerEntry& entry) {
    split_path(entry.path, path_);
    split_path(entry.target, target_);
    if (!TRY(tree_.make_room(path_))) return {};  // a later member has the name
    const std::string name(path_.back());
    if (TRY(link_own(entry.target, name))) return {};
    split_path(entry.target, target_);
    Parents::Found found;
    if (hidden(target_) || !TRY(parents_.find(target_, found)))
      return make_error(Code::kInvalidArgument, "layer_invalid",
                        format("a hard link to {}, which neither this layer nor one below has",
                               spec::quote(entry.target)));
    const std::pair inode(found.st.st_dev, found.st.st_ino);
    const auto made = made_.find(inode);
    if (made != made_.end() && TRY(link_own(made->second, name))) return {};
    if (made_.size() >= kMostLinkedFiles)
      return make_error(Code::kResourceExhausted, "layer_bomb",
                        format("it links to more than {} files of layers below", kMostLinkedFiles));
    made_[inode] = entry.path;
    return copy(found, name);
  }

  /// Links `name` in the tree's top to a file of this layer, if it has it.
  Result<bool> link_own(const std::string& target, const std::string& name) {
    split_path(target, target_);
    const Components target_path(target_);
    own_.clear();
    if (own_.open(target_path.first(target_path.size() - 1)) != 0) return false;
    const std::string target_name(target_path.back());
    struct stat st{};
    if (::fstatat(own_.top(), target_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) return false;
    if (is_whiteout(st) || S_ISDIR(st.st_mode))
      return make_error(Code::kInvalidArgument, "layer_invalid",
                        format("a hard link to {}, which is no file", spec::quote(target)));
    if (::linkat(own_.top(), target_name.c_str(), tree_.top(), name.c_str(), 0) < 0)
      return sys_error("make hard link", name);
    return true;
  }

  /// Whether this layer hides what the layers below have at `path`.
  bool hidden(Components path) {
    if (tree_.root_is_opaque()) return true;
    own_.clear();
    const int err = own_.open(path.first(path.size() - 1));
    return own_.in_opaque() || err == ENOTDIR;
  }

  Result<> copy(const Parents::Found& found, const std::string& name) {
    const struct stat& st = found.st;
    if (S_ISREG(st.st_mode)) return copy_file(found, name);
    if (S_ISDIR(st.st_mode))
      return make_error(Code::kInvalidArgument, "layer_invalid", "a hard link to a directory");
    if (S_ISLNK(st.st_mode)) {
      std::string text(4096, '\0');
      const ssize_t n = ::readlinkat(found.dir, found.name.c_str(), text.data(), text.size() - 1);
      if (n < 0) return sys_error("read link", found.name);
      text.resize(static_cast<std::size_t>(n));
      if (::symlinkat(text.c_str(), tree_.top(), name.c_str()) < 0)
        return sys_error("make symbolic link", name);
    } else if (::mknodat(tree_.top(), name.c_str(), st.st_mode, st.st_rdev) < 0) {
      return sys_error("make device", name);
    }
    TRY(set_owner_at(tree_.top(), name.c_str(), {st.st_uid, st.st_gid}, tree_.ownership()));
    const timespec times[2] = {st.st_mtim, st.st_mtim};
    if (::utimensat(tree_.top(), name.c_str(), times, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_error("set time", name);
    return {};
  }

  Result<> copy_file(const Parents::Found& found, const std::string& name) {
    Fd from{::openat(found.dir, found.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (!from) return sys_error("open file of a layer below", found.name);
    Fd to{::openat(tree_.top(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0600)};
    if (!to) return sys_error("make file", name);
    const off_t size = found.st.st_size;
    for (off_t at = 0; at < size;) {
      const off_t data = ::lseek(from.get(), at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data < 0) return sys_error("read", found.name);
      off_t end = ::lseek(from.get(), data, SEEK_HOLE);
      if (end < 0) return sys_error("read", found.name);
      for (at = data; at < end;) {
        off_t in = at, out = at;
        const ssize_t n = ::copy_file_range(from.get(), &in, to.get(), &out,
                                            static_cast<std::size_t>(end - at), 0);
        if (n < 0) return sys_error("copy file of a layer below", found.name);
        if (n == 0) break;
        at += n;
      }
      at = end;
    }
    if (::ftruncate(to.get(), size) < 0) return sys_error("set size", name);
    TRY(copy_attributes(from.get(), found.st, to.get(), tree_.ownership()));
    struct stat st{};
    if (::fstat(to.get(), &st) < 0) return sys_error("stat", name);
    tree_.add_disk_bytes(static_cast<std::uint64_t>(st.st_blocks) * 512);
    return {};
  }

  /// ".wh..wh..opq" in the root: overlayfs knows no opaque root, so each name gets its whiteout.
  Result<> hide_root() {
    return parents_.each_root_name([&](const std::string& name) {
      const std::string_view component = name;
      return tree_.whiteout(Components(&component, 1));
    });
  }

  Result<> directory(const LedgerEntry& entry) {
    split_path(entry.path, path_);
    const int err = own_.open(path_);
    if (err == ENOENT || err == ENOTDIR) return {};  // replaced by a later member
    if (err != 0) return errno_error(err, "open directory", entry.path);
    const int fd = own_.top();
    struct stat st{};
    if (::fstat(fd, &st) < 0) return sys_error("stat", entry.path);
    const bool implicit = (st.st_mode & 07777) == kImplicitMode;
    if (entry.kind == LedgerEntry::Kind::kImplicit) {
      if (!implicit) return {};  // a later member was the directory's
      tree_.add_disk_bytes(static_cast<std::uint64_t>(st.st_blocks) * 512);
      return implicit_directory(fd);
    }
    tree_.add_disk_bytes(static_cast<std::uint64_t>(st.st_blocks) * 512);
    if ((entry.mode & 07000) && ::fchmod(fd, entry.mode) < 0)
      return sys_error("change mode", entry.path);
    timespec time{};
    time.tv_sec = entry.mtime;
    time.tv_nsec = entry.mtime_ns;
    const timespec times[2] = {time, time};
    if (::futimens(fd, times) < 0) return sys_error("set time", entry.path);
    return {};
  }

  /// The directory is the top of own_.
  Result<> implicit_directory(int fd) {
    const Components path(path_);
    Parents::Found found;
    const bool hides = !path.empty() && (tree_.root_is_opaque() || own_.below_opaque());
    if (!hides && TRY(parents_.find(path, found)) && S_ISDIR(found.st.st_mode)) {
      Fd from{
          ::openat(found.dir, found.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
      if (!from) return sys_error("open directory of a layer below", found.name);
      return copy_attributes(from.get(), found.st, fd, tree_.ownership());
    }
    const timespec times[2] = {};
    TRY(set_owner(fd, {0, 0}, 0755, tree_.ownership()));
    if (::fchmod(fd, 0755) < 0) return sys_error("change mode", "");
    if (::futimens(fd, times) < 0) return sys_error("set time", "");
    return {};
  }

  TreeWriter& tree_;
  Parents& parents_;
  DirStack own_;
  std::vector<std::string_view> path_, target_;
  std::map<std::pair<dev_t, ino_t>, std::string> made_;  ///< copies of files of layers below
};

}  // namespace

Result<> finish_tree(TreeWriter& tree, Parents& parents) { return Finisher(tree, parents).run(); }

}  // namespace caisson::fetch
