#include "image/flatten.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>
#include <memory>
#include <string_view>

#include "base/fd.h"
#include "base/scope_exit.h"
#include "image/layer_tree.h"
#include "sys/tree.h"

namespace caisson::image {
namespace {

constexpr std::string_view kOverlayAttributes = "user.overlay.";

/// What of a tree's nature as a layer a copy has.
enum class Copy {
  kShown,  ///< nothing: it is what shows
  kExact,  ///< everything that makes another overlay show the same
};

/// Of an overlay's attributes those that say what shows, and not where something came from.
bool is_copied(std::string_view key, Copy kind) {
  if (!key.starts_with(kOverlayAttributes)) return true;
  return kind == Copy::kExact && (key.ends_with(".opaque") || key.ends_with(".whiteout"));
}

Result<> copy_xattrs(int from, int to, const std::string& name, Copy kind) {
  if (::flistxattr(from, nullptr, 0) == 0) return {};  // as nearly all have none
  std::string names(64 << 10, '\0'), value(64 << 10, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  if (size < 0 && errno != EOPNOTSUPP) return sys_error("read attributes of", name);
  for (ssize_t at = 0; at < size;) {
    const std::string_view key(names.c_str() + at);
    at += static_cast<ssize_t>(key.size()) + 1;
    if (!is_copied(key, kind)) continue;
    const ssize_t length = ::fgetxattr(from, key.data(), value.data(), value.size());
    if (length < 0) return sys_error("read attribute of", name);
    if (::fsetxattr(to, key.data(), value.data(), static_cast<std::size_t>(length), 0) < 0 &&
        errno != EOPNOTSUPP)
      return sys_error("set attribute of", name);
  }
  return {};
}

/// Owner, mode (after the owner, whose change takes setuid away), attributes, times.
Result<> copy_attributes(int from, const struct stat& st, int to, const std::string& name,
                         Copy kind) {
  if (::fchown(to, st.st_uid, st.st_gid) < 0) return sys_error("set owner of", name);
  if (::fchmod(to, st.st_mode & 07777) < 0) return sys_error("set mode of", name);
  TRY(copy_xattrs(from, to, name, kind));
  const timespec times[2] = {st.st_mtim, st.st_mtim};
  if (::futimens(to, times) < 0) return sys_error("set time of", name);
  return {};
}

Result<> copy_range(int from, int to, off_t begin, off_t end, const std::string& name) {
  while (begin < end) {
    off_t in = begin, out = begin;
    const ssize_t n =
        ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - begin), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("copy file of image", name);
    if (n == 0) return {};
    begin += n;
  }
  return {};
}

/// With its holes.
Result<> copy_content(int from, int to, off_t size, const std::string& name) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return sys_error("read", name);
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return sys_error("read", name);
    TRY(copy_range(from, to, data, hole, name));
    at = hole;
  }
  if (::ftruncate(to, size) < 0) return sys_error("set size of", name);
  return {};
}

class Flattener final {
 public:
  Flattener(Fd target, Copy kind) : target_(std::move(target)), kind_(kind) {}

  Result<> run(const std::vector<std::string>& lowers) {
    Directory top;
    for (const std::string& lower : lowers) {
      top.layers.push_back(layers_.size());
      layers_.push_back(TRY(open_fd(lower, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
    }
    directories_.push_back(std::move(top));
    for (std::size_t i = 0; i < directories_.size(); ++i) TRY(merge(i));
    // From the leaves up: whatever is made in a directory changes its time.
    for (std::size_t i = directories_.size(); i-- > 0;) TRY(finish(directories_[i]));
    return {};
  }

 private:
  /// A directory that shows, and the layers that have a part in it, topmost first.
  struct Directory {
    std::string path = ".";
    std::vector<std::size_t> layers;
    bool opaque = false;
  };
  struct Name {
    bool directory = false;
    bool closed = false;  ///< what lower layers have of this name does not show
    std::vector<std::size_t> layers;
  };

  Result<> merge(std::size_t index) {
    const Directory directory = directories_[index];
    const Fd to = TRY(open_directory(target_.get(), directory.path));
    std::map<std::string, Name> names;
    for (const std::size_t layer : directory.layers)
      TRY(take_layer(layer, directory.path, to.get(), names));
    for (auto& [name, what] : names) {
      if (!what.directory) continue;
      if (::mkdirat(to.get(), name.c_str(), 0700) < 0) return sys_error("create directory", name);
      directories_.push_back({directory.path + "/" + name, std::move(what.layers), what.closed});
    }
    return {};
  }

  Result<> take_layer(std::size_t layer, const std::string& path, int to,
                      std::map<std::string, Name>& names) {
    Fd from = TRY(open_directory(layers_[layer].get(), path));
    const int fd = from.get();
    const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(fd), ::closedir);
    if (!list) return sys_error("read directory of image", path);
    [[maybe_unused]] const int owned = from.release();
    while (const dirent* entry = ::readdir(list.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const auto [at, fresh] = names.try_emplace(name);
      if (at->second.closed) continue;
      struct stat st{};
      if (::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) return sys_error("stat", name);
      if (S_ISDIR(st.st_mode)) {
        at->second.directory = true;
        at->second.layers.push_back(layer);
        at->second.closed = is_opaque(TRY(open_directory(fd, name)).get());
        continue;
      }
      at->second.closed = true;
      if (fresh && (kind_ == Copy::kExact || !is_whiteout(st)))
        TRY(copy(layer, fd, to, path, name, st));
    }
    return {};
  }

  Result<> copy(std::size_t layer, int from, int to, const std::string& path,
                const std::string& name, const struct stat& st) {
    if (st.st_nlink > 1) {
      const auto [known, fresh] = links_.try_emplace({layer, st.st_ino}, path + "/" + name);
      if (!fresh) {
        if (::linkat(target_.get(), known->second.c_str(), to, name.c_str(), 0) < 0)
          return sys_error("make hard link", name);
        return {};
      }
    }
    if (S_ISREG(st.st_mode)) return copy_file(from, to, name, st);
    if (S_ISLNK(st.st_mode)) {
      std::string text(static_cast<std::size_t>(st.st_size) + 1, '\0');
      const ssize_t n = ::readlinkat(from, name.c_str(), text.data(), text.size());
      if (n < 0) return sys_error("read link", name);
      text.resize(static_cast<std::size_t>(n));
      if (::symlinkat(text.c_str(), to, name.c_str()) < 0) return sys_error("make link", name);
    } else if (::mknodat(to, name.c_str(), st.st_mode, st.st_rdev) < 0) {
      return sys_error("make special file", name);
    }
    if (::fchownat(to, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_error("set owner of", name);
    // The umask took a part of it.
    if (!S_ISLNK(st.st_mode) && ::fchmodat(to, name.c_str(), st.st_mode & 07777, 0) < 0)
      return sys_error("set mode of", name);
    const timespec times[2] = {st.st_mtim, st.st_mtim};
    if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_error("set time of", name);
    return {};
  }

  Result<> copy_file(int from, int to, const std::string& name, const struct stat& st) const {
    const Fd source = TRY(open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const Fd copy = TRY(open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    TRY(copy_content(source.get(), copy.get(), st.st_size, name));
    return copy_attributes(source.get(), st, copy.get(), name, kind_);
  }

  Result<> finish(const Directory& directory) {
    const Fd from = TRY(open_directory(layers_[directory.layers.front()].get(), directory.path));
    const Fd to = TRY(open_directory(target_.get(), directory.path));
    struct stat st{};
    if (::fstat(from.get(), &st) < 0) return sys_error("stat", directory.path);
    if (kind_ == Copy::kExact && directory.opaque &&
        ::fsetxattr(to.get(), "user.overlay.opaque", "y", 1, 0) < 0)
      return sys_error("set attribute of", directory.path);
    return copy_attributes(from.get(), st, to.get(), directory.path, kind_);
  }

  Fd target_;
  Copy kind_;
  std::vector<Fd> layers_;
  std::vector<Directory> directories_;
  std::map<std::pair<std::size_t, ino_t>, std::string> links_;  ///< first name of each file
};

}  // namespace

namespace {

Result<> make(const std::vector<std::string>& lowers, int parent, const std::string& name,
              Copy kind) {
  const std::string partial = name + ".partial";
  TRY(sys::remove_tree(parent, partial));
  if (::mkdirat(parent, partial.c_str(), 0700) < 0) return sys_error("create directory", partial);
  ScopeExit undo([&] { [[maybe_unused]] Result<> removed = sys::remove_tree(parent, partial); });
  Fd target = TRY(open_at(parent, partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(Flattener(std::move(target), kind).run(lowers));
  if (::renameat(parent, partial.c_str(), parent, name.c_str()) < 0)
    return sys_error("rename into place", name);
  undo.release();
  return {};
}

}  // namespace

Result<> flatten(const std::vector<std::string>& lowers, int parent, const std::string& name) {
  return make(lowers, parent, name, Copy::kShown);
}

Result<> copy_layers(const std::vector<std::string>& trees, int parent, const std::string& name) {
  return make(trees, parent, name, Copy::kExact);
}

}  // namespace caisson::image
