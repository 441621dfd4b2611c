// The tree under a `host:` box: what a program expects of a root directory, without anything of the
// host's configuration that could be a secret.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "base/scope_exit.h"
#include "image/rootfs.h"
#include "sys/tree.h"

namespace caisson::image {
namespace {

constexpr const char* kFormat = "1";

/// Files of the host's /etc that hold no secret and that programs need.
constexpr const char* kCopied[] = {"ld.so.cache", "ld.so.conf", "resolv.conf", "protocols",
                                   "services",    "mime.types", "timezone"};
/// Directories of the same kind; their symbolic links are kept as they are.
constexpr const char* kCopiedTrees[] = {"alternatives", "ssl/certs"};

struct Directory {
  const char* path;
  mode_t mode;
};
constexpr Directory kDirectories[] = {{"dev", 0755},       {"etc", 0755},      {"etc/ssl", 0755},
                                      {"home", 0755},      {"media", 0755},    {"mnt", 0755},
                                      {"opt", 0755},       {"proc", 0555},     {"root", 0700},
                                      {"run", 0755},       {"srv", 0755},      {"sys", 0555},
                                      {"tmp", 01777},      {"usr", 0755},      {"var", 0755},
                                      {"var/cache", 0755}, {"var/lib", 0755},  {"var/log", 0755},
                                      {"var/spool", 0755}, {"var/tmp", 01777}, {"workspace", 0755}};

struct Text {
  const char* path;
  const char* content;
};
constexpr Text kTexts[] = {
    {"etc/passwd",
     "root:x:0:0:root:/root:/bin/sh\n"
     "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
     "user:x:1000:1000:user:/home/user:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"etc/group",
     "root:x:0:\ndaemon:x:1:\ntty:x:5:\nstaff:x:50:\nusers:x:100:\nuser:x:1000:\n"
     "nogroup:x:65534:\n"},
    {"etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"},
    {"etc/hostname", "caisson\n"},
    {"etc/nsswitch.conf",
     "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n"
     "protocols: files\n"},
    {"etc/shells", "/bin/sh\n/bin/bash\n"},
};

/// Everything that the tree is made of, as text: a change of the host's gives another name.
std::string signature() {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a: names a directory, protects nothing
  const auto mix = [&hash](std::string_view bytes) {
    for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  };
  mix(kFormat);
  const auto mix_file = [&mix](const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return;
    mix(format("{} {} {} {}\n", path, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
  };
  for (const char* name : kCopied) mix_file(std::string("/etc/") + name);
  for (const char* name : kCopiedTrees) mix_file(std::string("/etc/") + name);
  mix_file("/etc/localtime");
  return format("{:016x}", hash);
}

class Builder final {
 public:
  explicit Builder(std::string root) : root_(std::move(root)) {}

  Result<> build() const {
    for (const Directory& d : kDirectories) TRY(directory(d.path, d.mode));
    for (const Text& t : kTexts) TRY(file(t.path, t.content));
    TRY(directory("home/user", 0755));
    for (const char* name : kCopied) {
      Result<std::string> text = read_file(std::string("/etc/") + name);
      if (text) TRY(file(std::string("etc/") + name, *text));
    }
    for (const char* name : kCopiedTrees)
      TRY(tree(std::string("/etc/") + name, std::string("etc/") + name));
    TRY(links());
    return {};
  }

 private:
  std::string at(const std::string& path) const { return root_ + "/" + path; }

  Result<> directory(const std::string& path, mode_t mode) const {
    if (::mkdir(at(path).c_str(), 0700) < 0 && errno != EEXIST)
      return sys_error("create directory", at(path));
    if (::chmod(at(path).c_str(), mode) < 0) return sys_error("set mode of", at(path));
    return {};
  }
  Result<> file(const std::string& path, std::string_view text) const {
    Fd fd = TRY(open_fd(at(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    if (::fchmod(fd.get(), 0644) < 0) return sys_error("set mode of", at(path));
    return write_all(fd.get(), text, at(path));
  }
  Result<> link(const std::string& text, const std::string& path) const {
    if (::symlink(text.c_str(), at(path).c_str()) < 0 && errno != EEXIST)
      return sys_error("create symlink", at(path));
    return {};
  }

  /// One level of regular files and links; nothing else belongs in these directories.
  Result<> tree(const std::string& from, const std::string& to) const {
    DIR* dir = ::opendir(from.c_str());
    if (dir == nullptr) return {};
    ScopeExit close([dir] { ::closedir(dir); });
    TRY(directory(to, 0755));
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      struct stat info{};
      if (::lstat((from + "/" + name).c_str(), &info) < 0) continue;
      if (S_ISLNK(info.st_mode)) {
        char text[PATH_MAX];
        const ssize_t n = ::readlink((from + "/" + name).c_str(), text, sizeof text);
        if (n > 0) TRY(link(std::string(text, static_cast<std::size_t>(n)), to + "/" + name));
      } else if (S_ISREG(info.st_mode) && (info.st_mode & S_IROTH) != 0) {
        if (Result<std::string> text = read_file(from + "/" + name))
          TRY(file(to + "/" + name, *text));
      }
    }
    return {};
  }

  Result<> links() const {
    TRY(link("/run", "var/run"));
    TRY(link("/run/lock", "var/lock"));
    TRY(link("/proc/self/mounts", "etc/mtab"));
    char text[PATH_MAX];
    ssize_t n = ::readlink("/etc/localtime", text, sizeof text);
    if (n > 0) TRY(link(std::string(text, static_cast<std::size_t>(n)), "etc/localtime"));
    for (const char* name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
      const std::string path = std::string("/") + name;
      n = ::readlink(path.c_str(), text, sizeof text);
      struct stat info{};
      if (n > 0)
        TRY(link(std::string(text, static_cast<std::size_t>(n)), name));
      else if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
        TRY(directory(name, 0755));
    }
    return {};
  }

  std::string root_;
};

/// The tree at `path`, if it is there, with a shared lock: flock(2) ends with the last copy of the
/// descriptor, so it holds as long as the shim that the descriptor is passed to.
Fd use(const std::string& path) {
  Fd tree = open_fd(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).value_or(Fd());
  if (!tree || ::flock(tree.get(), LOCK_SH | LOCK_NB) < 0) return {};
  // Between the open and the lock it may have been removed.
  struct stat ours{}, named{};
  const bool there = ::fstat(tree.get(), &ours) == 0 && ::lstat(path.c_str(), &named) == 0 &&
                     ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
  return there ? std::move(tree) : Fd();
}

/// Removes the trees beside `kept` that nobody uses. The caller holds the lock of `parent`. What a
/// remover that was killed left is cleared by the next: half a tree never has a tree's name.
Result<> remove_unused(int parent, const std::string& all, const std::string& kept) {
  const std::string name = ".removed";
  TRY(sys::remove_tree(parent, name));
  DIR* dir = ::opendir(all.c_str());
  if (dir == nullptr) return sys_error("read directory", all);
  ScopeExit close([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.' || entry->d_name == kept) continue;
    Fd tree = TRY(open_at(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::flock(tree.get(), LOCK_EX | LOCK_NB) < 0) continue;
    if (::renameat(parent, entry->d_name, parent, name.c_str()) < 0)
      return sys_error("remove tree", entry->d_name);
    TRY(sys::remove_tree(parent, name));
  }
  return {};
}

}  // namespace

Result<HostTree> host_view(const std::string& home) {
  const std::string all = home + "/host-view";
  const std::string wanted = signature();
  const std::string path = all + "/" + wanted;
  if (Fd held = use(path)) return HostTree{path, std::move(held)};
  if (::mkdir(all.c_str(), 0700) < 0 && errno != EEXIST) return sys_error("create directory", all);
  // One process builds and the others wait for it: the tree has hundreds of files. What a builder
  // that was killed left is cleared by the next.
  Fd parent = TRY(open_fd(all, O_RDONLY | O_DIRECTORY));
  while (::flock(parent.get(), LOCK_EX) < 0)
    if (errno != EINTR) return sys_error("lock", all);
  if (Fd held = use(path)) return HostTree{path, std::move(held)};
  const std::string name = ".building";
  TRY(sys::remove_tree(parent.get(), name));
  if (::mkdirat(parent.get(), name.c_str(), 0755) < 0) return sys_error("create directory", all);
  ScopeExit undo([&] { [[maybe_unused]] Result<> removed = sys::remove_tree(parent.get(), name); });
  TRY(Builder(all + "/" + name).build());
  if (::chmod((all + "/" + name).c_str(), 0755) < 0) return sys_error("set mode of", all);
  if (::renameat(parent.get(), name.c_str(), AT_FDCWD, path.c_str()) < 0)
    return sys_error("rename into place", path);
  undo.release();
  HostTree tree{path, use(path)};
  if (!tree.held) return sys_error("use", path);
  // A box does not fail because an old tree cannot be removed.
  [[maybe_unused]] Result<> removed = remove_unused(parent.get(), all, wanted);
  return tree;
}

}  // namespace caisson::image
