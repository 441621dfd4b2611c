// TreeWriter: hard links, and what hides names of the layers below.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "fetch/tree_writer.h"

namespace caisson::fetch {
namespace {

Error invalid(std::string message) {
  return make_error(Code::kInvalidArgument, "layer_invalid", std::move(message));
}
std::string name_of(Components path) { return std::string(path.back()); }
Components parent_of(Components path) { return path.first(path.size() - 1); }

}  // namespace

Result<> TreeWriter::hard_link(Components path, Components target) {
  if (path.empty() || target.empty()) return invalid("a hard link from or to the root");
  const std::string name = name_of(path), target_name = name_of(target);
  TRY(count_entry());
  const int parent = TRY(enter(parent_of(path)));
  struct stat st{}, old{};
  int err = targets_.open(parent_of(target));
  if (err == 0 && ::fstatat(targets_.top(), target_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
    err = errno;
  if (err == ENOENT || err == ENOTDIR) {
    TRY(remove_existing(name));
    deferred_links_ = true;
    return ledger_.add({.kind = LedgerEntry::Kind::kHardLink,
                        .path = join_path(path),
                        .target = join_path(target)});
  }
  if (err != 0) return errno_error(err, "stat", join_path(target));
  if (S_ISDIR(st.st_mode)) return invalid("a hard link to a directory");
  if (is_whiteout(st)) return invalid("a hard link to what this layer removes");
  if (::linkat(targets_.top(), target_name.c_str(), parent, name.c_str(), 0) == 0) return {};
  if (errno != EEXIST) return sys_error("make hard link", name);
  if (::fstatat(parent, name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino)
    return {};
  // What is in the way may be a directory that the target is in: then nothing is left to link to.
  TRY(remove_existing(name));
  if (targets_.open(parent_of(target)) != 0 ||
      ::linkat(targets_.top(), target_name.c_str(), parent, name.c_str(), 0) < 0)
    return sys_error("make hard link", name);
  return {};
}

Result<> TreeWriter::whiteout(Components path) {
  const int parent = TRY(enter(parent_of(path)));
  const std::string name = name_of(path);
  TRY(count_entry());
  if (::mknodat(parent, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) return {};
  if (errno != EEXIST) return sys_error("make whiteout", name);
  struct stat st{};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) return sys_error("stat", name);
  return S_ISDIR(st.st_mode) ? set_opaque(parent, name) : Result<>();
}

Result<> TreeWriter::opaque(Components path) {
  if (path.empty()) {
    root_opaque_ = true;  // overlayfs has no such thing; finish() makes whiteouts of it
    return {};
  }
  return set_opaque(TRY(enter(path)), ".");
}

Result<> TreeWriter::set_opaque(int parent, const std::string& name) {
  Fd fd{::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return sys_error("open directory", name);
  if (::fsetxattr(fd.get(), kOpaqueXattr, "y", 1, 0) < 0)
    return sys_error("set attribute", kOpaqueXattr);
  return {};
}

Result<bool> TreeWriter::make_room(Components path) {
  const int err = stack_.open(parent_of(path));
  // A later member has taken the place of the directory.
  if (err == ENOENT || err == ENOTDIR) return false;
  if (err != 0) return errno_error(err, "open directory", join_path(path));
  const int parent = stack_.top();
  const std::string name = name_of(path);
  struct stat st{};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT ? Result<bool>(true) : sys_error("stat", name);
  if (!is_whiteout(st)) return false;
  TRY(remove_existing(name));
  return true;
}

}  // namespace caisson::fetch
