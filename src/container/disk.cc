#include "container/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/fd.h"

namespace caisson::container {
namespace {

/// Above what path names of PATH_MAX allow (gnulib's configure tests make some 460), and low enough
/// for one descriptor each.
constexpr unsigned kMaxDepth = 512;

/// Most descriptors to look at: processes that share a table cost a box nothing, and us all of it.
constexpr unsigned kMostLooks = 50'000;

class Counter final {
 public:
  explicit Counter(std::uint64_t enough) : enough_(enough) {}
  std::uint64_t total() const { return total_; }

  void tree(Fd directory, unsigned depth) {
    each_entry(std::move(directory), [&](int parent, const char* name) {
      struct stat info{};
      if (::fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return;
      const auto links = static_cast<std::uint64_t>(info.st_nlink > 0 ? info.st_nlink : 1);
      // A file with several names is counted once in sum.
      add(S_ISDIR(info.st_mode) ? bytes(info) : bytes(info) / links);
      if (!S_ISDIR(info.st_mode)) return;
      if (depth == kMaxDepth) return overflow();
      Fd child(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (child)
        tree(std::move(child), depth + 1);
      else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        overflow();
    });
  }

  void unlinked(int root) {
    struct stat own{};
    if (::fstat(root, &own) < 0) return;
    each_entry(open(root, "proc"), [&](int proc, const char* name) {
      if (name[0] < '1' || name[0] > '9') return;
      each_entry(open(proc, (std::string(name) + "/fd").c_str()), [&](int fds, const char* fd) {
        if (++looked_ > kMostLooks) return;
        struct stat info{};  // of what the descriptor refers to: the link is a magic one
        if (::fstatat(fds, fd, &info, 0) < 0 || !S_ISREG(info.st_mode)) return;
        if (info.st_nlink == 0 && info.st_dev == own.st_dev && seen_.insert(info.st_ino).second)
          add(bytes(info));
      });
    });
  }

 private:
  static std::uint64_t bytes(const struct stat& info) {
    // A name takes room as well, of which there is an end on most file systems.
    constexpr std::uint64_t kLeast = 4096;
    return std::max(static_cast<std::uint64_t>(info.st_blocks) * 512, kLeast);
  }
  static Fd open(int parent, const char* name) {
    return Fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  void add(std::uint64_t bytes) { total_ += bytes; }
  void overflow() {
    if (enough_ != UINT64_MAX) total_ = std::max(total_, enough_ + 1);
  }

  /// Calls visit(descriptor, name) until there is enough.
  template <class Visit>
  void each_entry(Fd directory, Visit visit) {
    if (!directory) return;
    DIR* dir = ::fdopendir(directory.get());
    if (dir == nullptr) return overflow();
    directory.release();
    while (const dirent* entry = total_ > enough_ ? nullptr : ::readdir(dir))
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        visit(::dirfd(dir), entry->d_name);
    ::closedir(dir);
  }

  std::uint64_t enough_;
  std::uint64_t total_ = 0;
  unsigned looked_ = 0;
  std::set<ino_t> seen_;
};

}  // namespace

std::uint64_t directory_bytes(const std::string& path, std::uint64_t enough) {
  Counter counter(enough);
  Fd top(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (top) counter.tree(std::move(top), 0);
  return counter.total();
}

std::uint64_t unlinked_bytes(int root, std::uint64_t enough) {
  Counter counter(enough);
  counter.unlinked(root);
  return counter.total();
}

}  // namespace caisson::container
