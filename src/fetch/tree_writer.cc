#include "fetch/tree_writer.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "sys/tree.h"

namespace caisson::fetch {
namespace {

Error invalid(std::string message) {
  return make_error(Code::kInvalidArgument, "layer_invalid", std::move(message));
}
std::string name_of(Components path) { return std::string(path.back()); }
Components parent_of(Components path) { return path.first(path.size() - 1); }

}  // namespace

TreeWriter::TreeWriter(int root, const LayerCaps& caps, Ownership ownership, bool make_devices)
    : root_(root),
      caps_(caps),
      ownership_(ownership),
      make_devices_(make_devices),
      stack_(root, DirStack::Mode::kPath),
      targets_(root, DirStack::Mode::kPath),
      ledger_(root) {}

Result<> TreeWriter::begin() {
  if (::fchmod(root_, kImplicitMode) < 0) return sys_error("change mode", "/");
  implicit_ = true;
  return ledger_.add({.kind = LedgerEntry::Kind::kImplicit, .path = {}, .target = {}});
}

Result<> TreeWriter::count_entry() {
  if (++entries_ > caps_.entries)
    return make_error(Code::kResourceExhausted, "layer_bomb",
                      format("the layer has more than {} files and directories", caps_.entries));
  return {};
}

Result<int> TreeWriter::enter(Components parents) {
  for (std::size_t i = stack_.match(parents); i < parents.size(); ++i) {
    const int err = stack_.push(parents[i]);
    if (err == 0) continue;
    if (err != ENOENT && err != ENOTDIR)
      return errno_error(err, "open directory", join_path(parents.first(i + 1)));
    TRY(make_implicit(parents.first(i + 1)));
    if (const int again = stack_.push(parents[i]); again != 0)
      return errno_error(again, "open directory", join_path(parents.first(i + 1)));
  }
  return stack_.top();
}

/// Makes a directory that so far has no member; the stack is at its parent.
Result<> TreeWriter::make_implicit(Components path) {
  const std::string name = name_of(path);
  const bool hidden = TRY(remove_existing(name));
  TRY(count_entry());
  if (::mkdirat(stack_.top(), name.c_str(), kImplicitMode) < 0)
    return sys_error("make directory", name);
  if (::fchmodat(stack_.top(), name.c_str(), kImplicitMode, 0) < 0)  // mkdir drops the sticky bit
    return sys_error("change mode", name);
  if (hidden) TRY(set_opaque(stack_.top(), name));
  implicit_ = true;
  return ledger_.add({.kind = LedgerEntry::Kind::kImplicit, .path = join_path(path), .target = {}});
}

Result<bool> TreeWriter::remove_existing(const std::string& name) {
  struct stat st{};
  if (::fstatat(stack_.top(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT ? Result<bool>(false) : sys_error("stat", name);
  if (S_ISDIR(st.st_mode)) {
    targets_.clear();
    TRY(sys::remove_tree(stack_.top(), name));
    return false;
  }
  if (::unlinkat(stack_.top(), name.c_str(), 0) < 0) return sys_error("remove", name);
  if (st.st_nlink == 1)
    disk_bytes_ -= std::min(disk_bytes_, static_cast<std::uint64_t>(st.st_blocks) * 512);
  return is_whiteout(st);
}

/// Runs `make` (which returns a negative number on failure), once more when the name was taken.
template <class Make>
Result<> TreeWriter::make_over(const std::string& name, std::string_view action, Make make) {
  TRY(count_entry());
  if (make() >= 0) return {};
  if (errno == EEXIST) {
    TRY(remove_existing(name));
    if (make() >= 0) return {};
  }
  return sys_error(action, name);
}

Result<> TreeWriter::directory(Components path, const Attributes& attributes) {
  const LedgerEntry entry{.kind = LedgerEntry::Kind::kDirectory,
                          .mode = attributes.mode,
                          .mtime = attributes.times.both[0].tv_sec,
                          .mtime_ns = static_cast<std::uint32_t>(attributes.times.both[0].tv_nsec),
                          .path = join_path(path),
                          .target = {}};
  if (path.empty()) {
    TRY(merge_directory(root_, ".", attributes));
    return ledger_.add(entry);
  }
  const int parent = TRY(enter(parent_of(path)));
  const std::string name = name_of(path);
  TRY(count_entry());
  // Bits beyond 0777 come last: a set-group-ID directory would give files its group.
  if (::mkdirat(parent, name.c_str(), attributes.mode & 0777) == 0) {
    TRY(record_owner(parent, name, attributes));
    return ledger_.add(entry);
  }
  if (errno != EEXIST) return sys_error("make directory", name);
  struct stat st{};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) return sys_error("stat", name);
  if (S_ISDIR(st.st_mode)) {
    TRY(merge_directory(parent, name, attributes));
  } else {
    const bool hidden = TRY(remove_existing(name));
    if (::mkdirat(parent, name.c_str(), attributes.mode & 0777) < 0)
      return sys_error("make directory", name);
    TRY(record_owner(parent, name, attributes));
    if (hidden) TRY(set_opaque(parent, name));
  }
  return ledger_.add(entry);
}

/// Gives a directory that is there already the attributes of a member.
Result<> TreeWriter::merge_directory(int parent, const std::string& name,
                                     const Attributes& attributes) {
  Fd fd{::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return sys_error("open directory", name);
  if (::fchmod(fd.get(), attributes.mode & 0777) < 0) return sys_error("change mode", name);
  ::fremovexattr(fd.get(), kOverrideXattr);
  const Owner birth = ownership_.birth;
  if (!ownership_.one_id && ::fchown(fd.get(), birth.uid, birth.gid) < 0 && !ownership_.record)
    return sys_error("change owner", name);
  return set_owner(fd.get(), attributes.owner, attributes.mode, ownership_);
}

/// The owner of a new directory.
Result<> TreeWriter::record_owner(int parent, const std::string& name,
                                  const Attributes& attributes) {
  const Owner& owner = attributes.owner;
  if (owner == ownership_.birth) return {};
  if (!ownership_.one_id &&
      ::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0)
    return {};
  Fd fd{::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return sys_error("open directory", name);
  return set_owner(fd.get(), owner, attributes.mode, ownership_);
}

Result<Fd> TreeWriter::open_directory(Components path) {
  const int parent = TRY(enter(path));
  Fd fd{::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) return sys_error("open directory", join_path(path));
  return fd;
}

Result<Fd> TreeWriter::file(Components path, mode_t mode) {
  if (path.empty()) return invalid("the root is no directory");
  const int parent = TRY(enter(parent_of(path)));
  const std::string name = name_of(path);
  Fd fd;
  TRY(make_over(name, "make file", [&] {
    fd = Fd{::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     mode & 0777)};
    return fd.get();
  }));
  return fd;
}

Result<> TreeWriter::finish_file(int fd, const Attributes& attributes) {
  TRY(set_owner(fd, attributes.owner, attributes.mode, ownership_));
  // After the owner, whose change takes set-user-ID bits away.
  if ((attributes.mode & 07000) && ::fchmod(fd, attributes.mode) < 0)
    return sys_error("change mode", "");
  if (::futimens(fd, attributes.times.both) < 0) return sys_error("set time", "");
  struct stat st{};
  if (::fstat(fd, &st) < 0) return sys_error("stat", "");
  disk_bytes_ += static_cast<std::uint64_t>(st.st_blocks) * 512;
  return {};
}

Result<> TreeWriter::symbolic_link(Components path, const std::string& target,
                                   const Attributes& attributes) {
  if (path.empty()) return invalid("the root is no directory");
  if (target.empty() || target.size() >= 4096)
    return invalid(format("the symbolic link's target has {} bytes", target.size()));
  const int parent = TRY(enter(parent_of(path)));
  const std::string name = name_of(path);
  TRY(make_over(name, "make symbolic link",
                [&] { return ::symlinkat(target.c_str(), parent, name.c_str()); }));
  TRY(set_owner_at(parent, name.c_str(), attributes.owner, ownership_));
  if (::utimensat(parent, name.c_str(), attributes.times.both, AT_SYMLINK_NOFOLLOW) < 0)
    return sys_error("set time", name);
  if (target.size() >= 60) disk_bytes_ += 4096;  // shorter ones are in the inode
  return {};
}

Result<> TreeWriter::special(Components path, mode_t type, unsigned major, unsigned minor,
                             const Attributes& attributes) {
  if (path.empty()) return invalid("the root is no directory");
  if (type == S_IFCHR && major == 0 && minor == 0) return whiteout(path);
  if (major > 0xfff || minor > 0xfffff)
    return invalid(format("there is no device {}:{}", major, minor));
  const int parent = TRY(enter(parent_of(path)));
  const std::string name = name_of(path);
  const bool device = type != S_IFIFO;
  bool refused = device && !make_devices_;
  if (!refused) {
    Result<> made = make_over(name, "make device", [&] {
      return ::mknodat(parent, name.c_str(), type | (attributes.mode & 07777),
                       device ? makedev(major, minor) : 0);
    });
    if (!made && !(device && made.error().sys_errno == EPERM)) return made;
    refused = !made;
  }
  if (refused)
    return record_device(parent, name,
                         format("{}-{}-{}", type == S_IFCHR ? "char" : "block", major, minor),
                         attributes);
  TRY(set_owner_at(parent, name.c_str(), attributes.owner, ownership_));
  if (::utimensat(parent, name.c_str(), attributes.times.both, AT_SYMLINK_NOFOLLOW) < 0)
    return sys_error("set time", name);
  return {};
}

Result<> TreeWriter::record_device(int parent, const std::string& name, const std::string& device,
                                   const Attributes& attributes) {
  Fd fd;
  TRY(make_over(name, "make file", [&] {
    fd = Fd{::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     attributes.mode & 0777)};
    return fd.get();
  }));
  TRY(finish_file(fd.get(), attributes));
  return set_override(fd.get(), attributes.owner, attributes.mode, device);
}

}  // namespace caisson::fetch
