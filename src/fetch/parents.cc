#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <set>

#include "fetch/finish.h"
#include "spec/image_ref.h"

namespace caisson::fetch {

Result<std::vector<std::string>> read_names(int dir, std::string_view label) {
  Fd fd{::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) return sys_error("open directory", label);
  std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(fd.get()), ::closedir);
  if (!list) return sys_error("read directory", label);
  static_cast<void>(fd.release());
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return sys_error("read directory", label);
  std::sort(names.begin(), names.end());
  return names;
}

Result<Parents> Parents::open(int staging, int layers, const std::vector<std::string>& chain_ids) {
  Parents parents;
  for (const std::string& chain_id : chain_ids) {
    const std::string name(spec::hex_of(chain_id));
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    // A published tree is complete; one of the same name in staging may be on its way.
    Fd root{::openat(layers, name.c_str(), kFlags)};
    if (!root) root = Fd{::openat(staging, name.c_str(), kFlags)};
    if (!root) return sys_error("open layer below", chain_id);
    auto stack = std::make_unique<DirStack>(root.get(), DirStack::Mode::kRead);
    parents.trees_.push_back({std::move(root), std::move(stack)});
  }
  return parents;
}

Result<bool> Parents::find(Components path, Found& found) {
  for (Tree& tree : trees_) {
    if (path.empty()) {
      found.dir = tree.root.get();
      found.name = ".";
      return ::fstat(found.dir, &found.st) == 0 ? Result<bool>(true) : sys_error("stat", "/");
    }
    DirStack& stack = *tree.stack;
    const int err = stack.open(path.first(path.size() - 1));
    if (err == 0) {
      found.dir = stack.top();
      found.name = path.back();
      if (::fstatat(found.dir, found.name.c_str(), &found.st, AT_SYMLINK_NOFOLLOW) == 0)
        return !is_whiteout(found.st);
      if (errno != ENOENT) return sys_error("stat", found.name);
    } else if (err == ENOTDIR) {
      return false;  // a whiteout or a file hides what is further below
    } else if (err != ENOENT) {
      return errno_error(err, "open directory", join_path(path));
    }
    if (stack.in_opaque()) return false;
  }
  return false;
}

Result<> Parents::each_root_name(const std::function<Result<>(const std::string&)>& use) {
  std::set<std::string> seen;
  for (const Tree& tree : trees_)
    for (const std::string& name : TRY(read_names(tree.root.get(), "/"))) {
      if (!seen.insert(name).second) continue;
      struct stat st{};
      if (::fstatat(tree.root.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sys_error("stat", name);
      if (!is_whiteout(st)) TRY(use(name));
    }
  return {};
}

}  // namespace caisson::fetch
