#include "container/protect.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "spec/effective.h"
#include "sys/dir.h"

namespace caisson::container {
namespace {

/// Nobody has empty files of this mode; it says whose they are.
constexpr mode_t kPlaceholderMode = 01400;
constexpr const char* kMemory = "placeholders";

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (end > 0) parts.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

bool is_placeholder(const struct stat& info) {
  if (info.st_uid != ::geteuid()) return false;
  // A directory made in one with the set-group-id bit has the bit too, inode(7).
  return (info.st_mode & 07777 & ~S_ISGID) == kPlaceholderMode &&
         (S_ISDIR(info.st_mode) || (S_ISREG(info.st_mode) && info.st_size == 0));
}

/// Whether `fd` is still what the directory has under this name.
bool is_named(int parent, const std::string& name, int fd) {
  struct stat ours{}, named{};
  return ::fstat(fd, &ours) == 0 &&
         ::fstatat(parent, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

class Finder final {
 public:
  Finder(const BoxSpec& spec, const std::string& data, Protections& into)
      : spec_(spec), data_(data), into_(into) {}

  /// `path` below the bind of the host's directory `source` on `target`.
  Result<> find(const Mount& bind, std::string_view path, bool asked) {
    Result<Fd> top = sys::open_real(bind.source, O_PATH | O_DIRECTORY);
    if (!top) return {};  // a file has nothing below it; what is not there is an error elsewhere
    Fd here = std::move(*top);
    std::string host = bind.source, box = bind.target;
    Protection found;
    const std::vector<std::string> parts = components(path);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string& name = parts[i];
      host += "/" + name;
      box += "/" + name;
      const bool last = i + 1 == parts.size();
      struct stat info{};
      if (is_target(box)) return {};  // what is there is another mount's
      if (::fstatat(here.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) return sys_error("look at protected path", host);
        if (is_above_target(box)) return {};
        if (Result<> made = make(here.get(), name, host, !last || path.ends_with('/')); !made) {
          if (asked || made.error().reason == "box_busy") return made;
          // Where we may not write the box may not either, and /proc has no room for names.
          into_.warnings.push_back(format("'{}' is not protected: {}", box, made.error().message));
          return {};
        }
        found.placeholder = true;
        break;
      }
      if (S_ISLNK(info.st_mode)) return unsafe(box, asked);
      if (is_placeholder(info)) {
        TRY(make(here.get(), name, host, S_ISDIR(info.st_mode)));
        found.placeholder = true;
        break;
      }
      if (last || !S_ISDIR(info.st_mode)) break;
      found.pinned.push_back(box);
      here = TRY(open_at(here.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    }
    found.path = box;
    if (std::ranges::count(into_.list, found) == 0) into_.list.push_back(std::move(found));
    return {};
  }

 private:
  Result<> unsafe(const std::string& box, bool asked) {
    if (asked)
      return make_error(Code::kFailedPrecondition, "protect_unsafe",
                        format("protect '{}': it is a symbolic link", box),
                        "protect what it leads to");
    into_.warnings.push_back(format("'{}' is a symbolic link and is not protected", box));
    return {};
  }

  Result<> remember(const std::string& host) const {
    Fd memory =
        TRY(open_fd(data_ + "/" + kMemory, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
    return write_all(memory.get(), host + '\0', "memory of placeholders");
  }

  /// Made with its mode at once: whoever else may write here could put something in its place.
  /// Others make and remove the same name meanwhile.
  Result<> make(int parent, const std::string& name, const std::string& host, bool directory) {
    TRY(remember(host));
    const Fd above = TRY(open_at(parent, ".", O_RDONLY | O_DIRECTORY));
    for (int tries = 0; tries < 100; ++tries) {
      const int made = directory
                           ? ::mkdirat(above.get(), name.c_str(), kPlaceholderMode)
                           : ::mknodat(above.get(), name.c_str(), S_IFREG | kPlaceholderMode, 0);
      if (made < 0 && errno != EEXIST) return sys_error("make placeholder", host);
      if (take(above.get(), name)) return {};
      ::usleep(2000);
    }
    return make_error(Code::kUnavailable, "box_busy",
                      format("protect '{}': somebody else holds or changes it", host),
                      "try once more");
  }

  /// Whoever removes one has it for itself; whoever uses one shares it.
  bool take(int parent, const std::string& name) {
    Result<Fd> held = open_at(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info{};
    if (!held || ::flock(held->get(), LOCK_SH | LOCK_NB) < 0 || ::fstat(held->get(), &info) < 0 ||
        !is_placeholder(info) || !is_named(parent, name, held->get()))
      return false;
    into_.held.push_back(std::move(*held));
    return true;
  }

  bool is_target(const std::string& box) const {
    return std::ranges::count(spec_.mounts, box, &Mount::target) != 0;
  }
  /// A name that another mount needs cannot be taken.
  bool is_above_target(const std::string& box) const {
    return std::ranges::any_of(
        spec_.mounts, [&](const Mount& mount) { return mount.target.starts_with(box + "/"); });
  }

  const BoxSpec& spec_;
  const std::string& data_;
  Protections& into_;
};

/// A directory of the host that somebody works in, and not one that only boxes have.
bool is_shared(const Mount& mount, const std::string& data) {
  const std::string volumes = data.substr(0, data.rfind("/boxes/")) + "/volumes/";
  return mount.type == MountType::kBind && !mount.read_only && !mount.source.starts_with(volumes);
}

/// The writable bind whose target holds the path; the innermost.
const Mount* holder(const BoxSpec& spec, std::string_view path) {
  const Mount* best = nullptr;
  for (const Mount& mount : spec.mounts) {
    const bool holds = path.starts_with(mount.target + "/");
    if (holds && (best == nullptr || mount.target.size() > best->target.size())) best = &mount;
  }
  return best;
}

}  // namespace

Result<Protections> prepare_protections(const BoxSpec& spec, const std::string& data) {
  Protections found;
  Finder finder(spec, data, found);
  for (const std::string& path : spec::effective_protect(spec)) {
    const bool asked = std::ranges::count(spec.protect, path) != 0;
    if (path.starts_with('/')) {
      const Mount* mount = holder(spec, path);
      if (mount == nullptr || std::ranges::count(spec.mounts, path, &Mount::target) != 0)
        found.in_root.push_back(path);
      else if (mount->type == MountType::kBind && !mount->read_only)
        TRY(finder.find(*mount, std::string_view(path).substr(mount->target.size()), asked));
      continue;
    }
    for (const Mount& mount : spec.mounts)
      if (is_shared(mount, data)) TRY(finder.find(mount, path, asked));
  }
  return found;
}

void remove_placeholders(const std::string& data) {
  const std::string memory = data + "/" + kMemory;
  const std::string all = read_file(memory, 1 << 20).value_or("");
  if (all.empty()) return;
  for (std::size_t at = 0; at < all.size();) {
    const std::string path = all.substr(at, all.find('\0', at) - at);
    at += path.size() + 1;
    const std::string name = path.substr(path.rfind('/') + 1);
    const Result<Fd> parent = sys::open_real(sys::parent_of(path), O_RDONLY | O_DIRECTORY);
    if (!parent) continue;
    const Result<Fd> fd = open_at(parent->get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info{};
    if (!fd || ::flock(fd->get(), LOCK_EX | LOCK_NB) < 0 || ::fstat(fd->get(), &info) < 0 ||
        !is_placeholder(info) || !is_named(parent->get(), name, fd->get()))
      continue;
    ::unlinkat(parent->get(), name.c_str(), S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
  }
  ::unlink(memory.c_str());
}

}  // namespace caisson::container
