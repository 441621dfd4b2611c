#include "fetch/compare.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <map>
#include <vector>

#include "fetch/attributes.h"
#include "fetch/finish.h"
#include "spec/text.h"

namespace caisson::fetch {
namespace {

constexpr std::size_t kPiece = 128 << 10;

/// Of an open file or directory: what a layer may set, and what the unpacker sets itself.
std::map<std::string, std::string> xattrs(int fd, std::string& buffer) {
  std::map<std::string, std::string> all;
  buffer.resize(kPiece);
  const ssize_t size = ::flistxattr(fd, buffer.data(), buffer.size());
  std::string_view rest(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  std::string value(64 << 10, '\0');
  while (!rest.empty()) {
    const std::string name(rest.data());
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!is_allowed_xattr(name) && name != kOverrideXattr && name != kOpaqueXattr) continue;
    const ssize_t n = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (n >= 0) all[name] = value.substr(0, static_cast<std::size_t>(n));
  }
  return all;
}

std::string owner_text(const struct stat& st) { return format("{}:{}", st.st_uid, st.st_gid); }

/// What is different in the inodes themselves; empty when nothing is.
std::string inode_difference(const struct stat& wanted, const struct stat& found) {
  if ((wanted.st_mode & S_IFMT) != (found.st_mode & S_IFMT)) return "has another type";
  if (!S_ISLNK(wanted.st_mode) && wanted.st_mode != found.st_mode)
    return format("has mode {:o} instead of {:o}", found.st_mode & 07777, wanted.st_mode & 07777);
  if (wanted.st_uid != found.st_uid || wanted.st_gid != found.st_gid)
    return format("has owner {} instead of {}", owner_text(found), owner_text(wanted));
  if (!S_ISDIR(wanted.st_mode) && wanted.st_size != found.st_size)
    return format("has {} bytes instead of {}", found.st_size, wanted.st_size);
  if ((S_ISCHR(wanted.st_mode) || S_ISBLK(wanted.st_mode)) && wanted.st_rdev != found.st_rdev)
    return "is another device";
  const bool whiteout = S_ISCHR(wanted.st_mode) && wanted.st_rdev == 0;
  if (!whiteout && (wanted.st_mtim.tv_sec != found.st_mtim.tv_sec ||
                    wanted.st_mtim.tv_nsec != found.st_mtim.tv_nsec))
    return "has another modification time";
  return {};
}

class Comparison final {
 public:
  Comparison() : ours_(kPiece, '\0'), theirs_(kPiece, '\0') {}

  Result<std::string> directories(int wanted, int found, const std::string& path) {
    struct stat wanted_st{}, found_st{};
    if (::fstat(wanted, &wanted_st) < 0 || ::fstat(found, &found_st) < 0)
      return sys_error("stat", path);
    if (std::string problem = inode_difference(wanted_st, found_st); !problem.empty())
      return say(path, problem);
    if (xattrs(wanted, ours_) != xattrs(found, theirs_))
      return say(path, "has other extended attributes");
    const std::vector<std::string> names = TRY(read_names(wanted, path));
    const std::vector<std::string> others = TRY(read_names(found, path));
    const auto [a, b] = std::mismatch(names.begin(), names.end(), others.begin(), others.end());
    if (a != names.end() && (b == others.end() || *a < *b))
      return say(below(path, *a), "is missing");
    if (b != others.end()) return say(below(path, *b), "is not of the layer");
    for (const std::string& name : names) {
      std::string problem = TRY(entries(wanted, found, name, below(path, name)));
      if (!problem.empty()) return problem;
    }
    return std::string();
  }

 private:
  static std::string below(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "/" + name;
  }
  static std::string say(const std::string& path, std::string_view what) {
    return format("{} {}", spec::quote(path.empty() ? "/" : path), what);
  }

  Result<std::string> entries(int wanted, int found, const std::string& name,
                              const std::string& path) {
    struct stat wanted_st{}, found_st{};
    if (::fstatat(wanted, name.c_str(), &wanted_st, AT_SYMLINK_NOFOLLOW) < 0 ||
        ::fstatat(found, name.c_str(), &found_st, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_error("stat", path);
    if (std::string problem = inode_difference(wanted_st, found_st); !problem.empty())
      return say(path, problem);
    if (S_ISLNK(wanted_st.st_mode)) return links(wanted, found, name, path);
    if (!S_ISDIR(wanted_st.st_mode) && !S_ISREG(wanted_st.st_mode)) return std::string();
    const int flags =
        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(wanted_st.st_mode) ? O_DIRECTORY : 0);
    Fd a{::openat(wanted, name.c_str(), flags)}, b{::openat(found, name.c_str(), flags)};
    if (!a || !b) return sys_error("open", path);
    if (S_ISDIR(wanted_st.st_mode)) return directories(a.get(), b.get(), path);
    if (xattrs(a.get(), ours_) != xattrs(b.get(), theirs_))
      return say(path, "has other extended attributes");
    return contents(a.get(), b.get(), path);
  }

  Result<std::string> links(int wanted, int found, const std::string& name,
                            const std::string& path) {
    ours_.resize(kPiece);
    theirs_.resize(kPiece);
    const ssize_t a = ::readlinkat(wanted, name.c_str(), ours_.data(), ours_.size());
    const ssize_t b = ::readlinkat(found, name.c_str(), theirs_.data(), theirs_.size());
    if (a < 0 || b < 0) return sys_error("read link", path);
    if (std::string_view(ours_).substr(0, static_cast<std::size_t>(a)) !=
        std::string_view(theirs_).substr(0, static_cast<std::size_t>(b)))
      return say(path, "has another target");
    return std::string();
  }

  Result<std::string> contents(int wanted, int found, const std::string& path) {
    ours_.resize(kPiece);
    theirs_.resize(kPiece);
    for (off_t at = 0;;) {
      const ssize_t a = ::pread(wanted, ours_.data(), ours_.size(), at);
      const ssize_t b = ::pread(found, theirs_.data(), theirs_.size(), at);
      if (a < 0 || b < 0) return sys_error("read", path);
      if (a != b || !std::equal(ours_.begin(), ours_.begin() + a, theirs_.begin()))
        return say(path, "has other content");
      if (a == 0) return std::string();
      at += a;
    }
  }

  std::string ours_, theirs_;
};

}  // namespace

Result<std::string> compare_trees(int wanted, int found) {
  return Comparison().directories(wanted, found, {});
}

}  // namespace caisson::fetch
