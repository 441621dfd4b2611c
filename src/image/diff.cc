#include "image/diff.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <set>

#include "image/layer_tree.h"

namespace caisson::image {
namespace {

using Layers = std::vector<std::size_t>;

/// A name as one side shows it.
struct Entry {
  bool there = false;
  bool closed = false;  ///< what lower layers have of this name does not show
  Layers layers;        ///< of a directory all that have a part in it, else the one it is in
  struct stat st{};
};
using Entries = std::map<std::string, Entry>;

class Comparison final {
 public:
  explicit Comparison(const std::function<Result<>(const Change&)>& found) : found_(found) {}

  Result<> run(const std::vector<std::string>& before, const std::vector<std::string>& after) {
    const Layers a = TRY(open(before)), b = TRY(open(after));
    return directory(".", a, b);
  }

 private:
  Result<Layers> open(const std::vector<std::string>& trees) {
    Layers layers;
    for (const std::string& tree : trees) {
      auto at = std::ranges::find(names_, tree);
      if (at == names_.end()) {
        fds_.push_back(TRY(open_fd(tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
        names_.push_back(tree);
        at = std::prev(names_.end());
      }
      layers.push_back(static_cast<std::size_t>(at - names_.begin()));
    }
    return layers;
  }

  Result<Entries> list(const std::string& path, const Layers& layers) {
    Entries entries;
    for (const std::size_t layer : layers) {
      Fd from = TRY(open_directory(fds_[layer].get(), path));
      const int fd = from.get();
      const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
      if (!dir) return sys_error("read directory of layer", path);
      [[maybe_unused]] const int owned = from.release();
      while (const dirent* found = ::readdir(dir.get())) {
        const std::string name = found->d_name;
        if (name == "." || name == "..") continue;
        TRY(add(fd, layer, name, entries[name]));
      }
    }
    std::erase_if(entries, [](const auto& entry) { return !entry.second.there; });
    return entries;
  }

  static Result<> add(int dir, std::size_t layer, const std::string& name, Entry& entry) {
    if (entry.closed) return {};
    struct stat st{};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) return sys_error("stat", name);
    if (!S_ISDIR(st.st_mode)) {
      entry.closed = true;
      if (entry.there || is_whiteout(st)) return {};  // below a directory no file shows
      entry = {true, true, {layer}, st};
      return {};
    }
    if (!entry.there) entry.st = st;
    entry.there = true;
    entry.layers.push_back(layer);
    entry.closed = is_opaque(TRY(open_directory(dir, name)).get());
    return {};
  }

  Result<> directory(const std::string& path, const Layers& before, const Layers& after) {
    if (before == after) return {};
    const Entries a = TRY(list(path, before)), b = TRY(list(path, after));
    std::set<std::string> names;
    for (const auto& [name, entry] : a) names.insert(name);
    for (const auto& [name, entry] : b) names.insert(name);
    for (const std::string& name : names) {
      const auto old = a.find(name), now = b.find(name);
      TRY(entry(path + "/" + name, old == a.end() ? nullptr : &old->second,
                now == b.end() ? nullptr : &now->second));
    }
    return {};
  }

  Result<> entry(const std::string& path, const Entry* old, const Entry* now) {
    const std::string shown = path.substr(1);
    if (now == nullptr) return found_({ChangeKind::kDeleted, shown});
    if (old == nullptr) return added(path, *now);
    const bool directories = S_ISDIR(old->st.st_mode) && S_ISDIR(now->st.st_mode);
    if (!directories) {
      if (old->layers == now->layers && old->st.st_ino == now->st.st_ino) return {};
      if (TRY(same(path, *old, *now))) return {};
      TRY(found_({ChangeKind::kChanged, shown}));
      return S_ISDIR(now->st.st_mode) ? below(path, *now) : Result<>();
    }
    if (old->layers == now->layers) return {};
    if (!same_attributes(old->st, now->st) || old->st.st_mtim.tv_sec != now->st.st_mtim.tv_sec ||
        old->st.st_mtim.tv_nsec != now->st.st_mtim.tv_nsec)
      TRY(found_({ChangeKind::kChanged, shown}));
    return directory(path, old->layers, now->layers);
  }

  Result<> added(const std::string& path, const Entry& now) {
    TRY(found_({ChangeKind::kAdded, path.substr(1)}));
    return S_ISDIR(now.st.st_mode) ? below(path, now) : Result<>();
  }
  Result<> below(const std::string& path, const Entry& now) {
    for (const auto& [name, entry] : TRY(list(path, now.layers)))
      TRY(added(path + "/" + name, entry));
    return {};
  }

  static bool same_attributes(const struct stat& a, const struct stat& b) {
    return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid;
  }

  Result<bool> same(const std::string& path, const Entry& old, const Entry& now) {
    const struct stat &a = old.st, &b = now.st;
    if (!same_attributes(a, b) || a.st_rdev != b.st_rdev) return false;
    if (S_ISLNK(a.st_mode)) return TRY(link(path, old)) == TRY(link(path, now));
    if (!S_ISREG(a.st_mode)) return true;
    if (a.st_size != b.st_size || a.st_mtim.tv_sec != b.st_mtim.tv_sec ||
        a.st_mtim.tv_nsec != b.st_mtim.tv_nsec)
      return false;
    return same_content(path, old, now);
  }

  Result<Fd> open_parent(const std::string& path, const Entry& entry) {
    return open_directory(fds_[entry.layers.front()].get(), path.substr(0, path.rfind('/')));
  }
  static std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  Result<std::string> link(const std::string& path, const Entry& entry) {
    const Fd parent = TRY(open_parent(path, entry));
    std::string text(4096, '\0');
    const ssize_t n = ::readlinkat(parent.get(), name_of(path).c_str(), text.data(), text.size());
    if (n < 0) return sys_error("read link", path);
    text.resize(static_cast<std::size_t>(n));
    return text;
  }

  /// Times can be set back: the bytes decide.
  Result<bool> same_content(const std::string& path, const Entry& old, const Entry& now) {
    constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    const Fd a = TRY(open_at(TRY(open_parent(path, old)).get(), name_of(path), kFlags));
    const Fd b = TRY(open_at(TRY(open_parent(path, now)).get(), name_of(path), kFlags));
    std::array<std::vector<char>, 2> buffers{std::vector<char>(1 << 16),
                                             std::vector<char>(1 << 16)};
    for (;;) {
      const ssize_t n = ::read(a.get(), buffers[0].data(), buffers[0].size());
      const ssize_t m = ::read(b.get(), buffers[1].data(), buffers[1].size());
      if (n < 0 || m < 0) return sys_error("read", path);
      if (n != m) return false;
      if (n == 0) return true;
      if (std::memcmp(buffers[0].data(), buffers[1].data(), static_cast<std::size_t>(n)) != 0)
        return false;
    }
  }

  const std::function<Result<>(const Change&)>& found_;
  std::vector<std::string> names_;
  std::vector<Fd> fds_;
};

}  // namespace

Result<> compare_layers(const std::vector<std::string>& before,
                        const std::vector<std::string>& after,
                        const std::function<Result<>(const Change&)>& found) {
  return Comparison(found).run(before, after);
}

}  // namespace caisson::image
