#include "files/unpack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/fd.h"
#include "files/replacement.h"

namespace caisson::files {
namespace {

Error unsafe(const std::string& name, std::string_view cause) {
  return make_error(Code::kInvalidArgument, "member_unsafe",
                    format("unpack '{}': {}", name, cause));
}

/// The components of a member's name, without empty ones and ".".
Result<std::vector<std::string>> components(const std::string& name) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    std::string part = name.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return unsafe(name, "its name leads out");
    if (part.size() > 255) return unsafe(name, "a part of its name is too long");
    parts.push_back(std::move(part));
  }
  // A descriptor is open for each level.
  constexpr std::size_t kMostLevels = 512;
  if (parts.size() > kMostLevels)
    return make_error(Code::kResourceExhausted, "tree_too_deep",
                      format("unpack '{}': it is nested more than {} deep", name, kMostLevels));
  return parts;
}

class Unpacker final {
 public:
  Unpacker(TarReader& tar, int top, const UnpackOptions& options)
      : tar_(tar), top_(top), options_(options) {}

  Result<Unpacked> run() {
    TarMember member;
    while (TRY(tar_.next(member))) {
      const std::vector<std::string> path = TRY(place(member.name));
      if (path.empty()) continue;  // the directory itself, as in an archive of "."
      TRY(make(member, path));
    }
    // From below: a directory's times change with what is made in it.
    for (auto made = directories_.rbegin(); made != directories_.rend(); ++made)
      TRY(finish(made->fd.get(), made->member));
    return done_;
  }

 private:
  /// Where a member of this name goes, below the top.
  Result<std::vector<std::string>> place(const std::string& name) const {
    std::vector<std::string> path = TRY(components(name));
    if (options_.only.empty()) return path;
    if (path.empty() || path[0] != options_.only)
      return unsafe(name, format("it is not below '{}'", options_.only));
    if (options_.as.empty())
      path.erase(path.begin());
    else
      path[0] = options_.as;
    return path;
  }

  Result<Fd> open_directory(int from, const std::string& path) const {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = options_.follow ? RESOLVE_NO_MAGICLINKS
                                  : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    Fd fd(static_cast<int>(::syscall(SYS_openat2, from, path.c_str(), &how, sizeof how)));
    if (fd) return fd;
    if (errno == ELOOP || errno == ENOTDIR)
      return make_error(Code::kFailedPrecondition, "path_in_the_way",
                        format("unpack into '{}': it is no directory", path));
    return sys_error("open directory", path);
  }

  /// The directory that a member goes into; what is missing of it is made.
  Result<Fd> parent_of(const std::vector<std::string>& path) {
    Fd at = TRY(open_directory(top_, "."));
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      Result<Fd> next = step_into(at.get(), path[i]);
      if (!next && next.error().sys_errno == ENOENT) {
        if (::mkdirat(at.get(), path[i].c_str(), 0755) < 0 && errno != EEXIST)
          return write_error("make directory", path[i]);
        next = step_into(at.get(), path[i]);
        if (next) TRY(own(next->get(), path[i], {}));
      }
      at = TRY(std::move(next));
    }
    return at;
  }

  /// A link that this archive made is never one to step through: it may lead anywhere.
  Result<Fd> step_into(int from, const std::string& name) {
    Fd next = TRY(open_directory(from, name));
    if (!options_.follow || links_.empty()) return next;
    struct stat st{};
    if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) &&
        std::ranges::find(links_, std::pair(st.st_dev, st.st_ino)) != links_.end())
      return unsafe(name, "another member is a link of this name");
    return next;
  }

  Result<> make(const TarMember& member, const std::vector<std::string>& path) {
    const Fd parent = TRY(parent_of(path));
    if (options_.check) TRY(options_.check(parent.get()));
    const std::string& name = path.back();
    switch (member.type) {
      case TarType::kDirectory:
        return directory(parent.get(), path, member);
      case TarType::kFile:
        return file(parent.get(), name, member);
      case TarType::kHardLink:
        return hard_link(parent.get(), name, member);
      case TarType::kSymlink:
      case TarType::kFifo:
        break;
      case TarType::kCharDevice:
      case TarType::kBlockDevice:
        if (!options_.keep_special) {
          ++done_.skipped;
          return {};
        }
    }
    return special(parent.get(), name, member);
  }

  Result<> directory(int parent, const std::vector<std::string>& path, const TarMember& member) {
    const std::string& name = path.back();
    ++done_.files;
    if (::mkdirat(parent, name.c_str(), 0700) < 0) {
      if (errno != EEXIST) return write_error("make directory", member.name);
      Result<Fd> there = open_directory(parent, name);
      if (there) return {};
      return there.error();
    }
    Fd made = TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    // Descriptors are bounded: one in which nothing more is to be made, if archives go depth first,
    // is finished before the end.
    if (directories_.size() >= kMostOpen) {
      const auto done = std::ranges::find_if(directories_, [&](const Made& other) {
        return other.path.size() > path.size() ||
               !std::equal(other.path.begin(), other.path.end(), path.begin());
      });
      if (done != directories_.end()) {
        TRY(finish(done->fd.get(), done->member));
        directories_.erase(done);
      }
    }
    // Others must not see into it before it has its owner and its mode.
    directories_.push_back({std::move(made), path, member});
    return {};
  }

  Result<> file(int parent, const std::string& name, const TarMember& member) {
    Replacement file = TRY(Replacement::create(parent, name));
    std::vector<char> buffer(256 << 10);
    for (;;) {
      const std::size_t n = TRY(tar_.read(buffer));
      if (n == 0) break;
      TRY(file.write({buffer.data(), n}));
      done_.bytes += n;
    }
    TRY(finish(file.fd(), member));
    ++done_.files;
    return file.commit();
  }

  Result<> hard_link(int parent, const std::string& name, const TarMember& member) {
    const std::vector<std::string> path = TRY(place(member.link));
    if (path.empty()) return unsafe(member.name, "it is a link to a directory");
    const Fd from = TRY(parent_of(path));
    const std::string temporary = TRY(temporary_name());
    if (::linkat(from.get(), path.back().c_str(), parent, temporary.c_str(), 0) < 0)
      return write_error(format("link to '{}'", member.link), member.name);
    ++done_.files;
    return take_place(parent, temporary, name);
  }

  /// What has no content: a symbolic link, a FIFO, a device.
  Result<> special(int parent, const std::string& name, const TarMember& member) {
    const std::string temporary = TRY(temporary_name());
    int made = 0;
    if (member.type == TarType::kSymlink) {
      made = ::symlinkat(member.link.c_str(), parent, temporary.c_str());
    } else {
      const mode_t type = member.type == TarType::kFifo         ? S_IFIFO
                          : member.type == TarType::kCharDevice ? S_IFCHR
                                                                : S_IFBLK;
      made = ::mknodat(parent, temporary.c_str(), type | (member.mode & 0777),
                       makedev(member.major, member.minor));
    }
    if (made < 0) return write_error("make", member.name);
    const Fd entry = TRY(open_at(parent, temporary, O_PATH | O_NOFOLLOW));
    Result<> placed = own(entry.get(), member.name, member);
    set_times(entry.get(), member);
    struct stat st{};
    if (member.type == TarType::kSymlink && ::fstat(entry.get(), &st) == 0)
      links_.emplace_back(st.st_dev, st.st_ino);
    if (placed) placed = take_place(parent, temporary, name);
    if (!placed) ::unlinkat(parent, temporary.c_str(), 0);
    ++done_.files;
    return placed;
  }

  /// Owner, mode, attributes and times, in the order in which one does not undo another.
  Result<> finish(int fd, const TarMember& member) const {
    TRY(own(fd, member.name, member));
    const std::uint32_t mode = member.mode & (options_.keep_special ? 07777u : 0777u);
    if (::fchmod(fd, mode) < 0) return write_error("set mode of", member.name);
    if (options_.keep_special)
      for (const auto& [key, value] : member.xattrs)
        if (key.starts_with("user.") || key == "security.capability")
          if (::fsetxattr(fd, key.c_str(), value.data(), value.size(), 0) < 0 &&
              errno != EOPNOTSUPP && errno != EPERM)
            return write_error("set attributes of", member.name);
    set_times(fd, member);
    return {};
  }

  Result<> own(int fd, const std::string& name, const std::optional<TarMember>& member) const {
    std::pair<std::uint32_t, std::uint32_t> ids;
    if (options_.keep_owners && member)
      ids = {member->uid, member->gid};
    else if (options_.owner)
      ids = *options_.owner;
    else
      return {};
    if (::fchownat(fd, "", ids.first, ids.second, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0)
      return {};
    if (errno == EINVAL || errno == EPERM)
      return make_error(
          Code::kFailedPrecondition, "ids_unavailable",
          format("give '{}' to {}:{}: the box has no such ids", name, ids.first, ids.second));
    return write_error("change owner of", name);
  }

  /// Best effort: some file systems have no such times.
  static void set_times(int fd, const TarMember& member) {
    const timespec times[2] = {{0, UTIME_NOW}, {member.mtime, member.mtime_ns}};
    ::utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
  }

  static constexpr std::size_t kMostOpen = 256;
  struct Made {
    Fd fd;
    std::vector<std::string> path;
    TarMember member;
  };

  TarReader& tar_;
  int top_;
  const UnpackOptions& options_;
  Unpacked done_;
  std::vector<Made> directories_;
  std::vector<std::pair<dev_t, ino_t>> links_;
};

}  // namespace

Result<Unpacked> unpack(TarReader& tar, int directory, const UnpackOptions& options) {
  return Unpacker(tar, directory, options).run();
}

}  // namespace caisson::files
