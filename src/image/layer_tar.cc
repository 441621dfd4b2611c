#include "image/layer_tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/fd.h"
#include "files/path.h"
#include "image/diff.h"
#include "image/layer_tree.h"

namespace caisson::image {
namespace {

using files::TarMember;
using files::TarType;

class LayerTar final {
 public:
  LayerTar(const files::Sink& sink, SwappedIds swapped) : tar_(sink), swapped_(swapped) {}

  Result<> run(const std::vector<std::string>& before, const std::vector<std::string>& after) {
    for (const std::string& tree : after)
      trees_.push_back(TRY(open_fd(tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
    TRY(compare_layers(before, after, [this](const Change& change) {
      return change.kind == ChangeKind::kDeleted ? whiteout(change.path) : add(change.path);
    }));
    return tar_.finish();
  }

 private:
  /// "/a/b" in the archive.
  static std::string member_of(const std::string& path) { return path.substr(1); }
  static std::string above(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? "." : path.substr(1, slash - 1);
  }
  static std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  Result<> whiteout(const std::string& path) {
    const std::string parent = above(path);
    return tar_.add({.name = (parent == "." ? "" : parent + "/") + ".wh." + name_of(path)});
  }

  /// The tree that a path shows from is the topmost one that has it.
  Result<Fd> find(const std::string& path, struct stat& st) const {
    for (const Fd& tree : trees_) {
      Result<Fd> parent = open_directory(tree.get(), above(path));
      if (!parent) continue;
      if (::fstatat(parent->get(), name_of(path).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
        return parent;
    }
    return make_error(Code::kUnavailable, "box_busy",
                      format("pack '{}': it has changed meanwhile", path), "try once more");
  }

  Result<> add(const std::string& path) {
    struct stat st{};
    const Fd parent = TRY(find(path, st));
    const std::string name = name_of(path);
    // Such a file would be read as a whiteout.
    if (name.starts_with(".wh."))
      return make_error(Code::kFailedPrecondition, "name_invalid",
                        format("pack '{}': a layer cannot have a file of this name", path));
    TarMember member;
    member.name = member_of(path);
    member.mode = st.st_mode & 07777;
    member.uid = in_box(st.st_uid, swapped_.uid);
    member.gid = in_box(st.st_gid, swapped_.gid);
    member.mtime = st.st_mtim.tv_sec;
    member.mtime_ns = st.st_mtim.tv_nsec;
    if (S_ISREG(st.st_mode)) return file(parent.get(), name, st, member);
    if (S_ISDIR(st.st_mode)) {
      member.type = TarType::kDirectory;
      member.name += '/';
      member.xattrs = files::read_xattrs(TRY(open_directory(parent.get(), name)).get());
    } else if (S_ISLNK(st.st_mode)) {
      member.type = TarType::kSymlink;
      const Fd link = TRY(open_at(parent.get(), name, O_PATH | O_NOFOLLOW));
      member.link = TRY(files::read_link(link.get(), path));
    } else if (S_ISFIFO(st.st_mode)) {
      member.type = TarType::kFifo;
    } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
      member.type = S_ISCHR(st.st_mode) ? TarType::kCharDevice : TarType::kBlockDevice;
      member.major = major(st.st_rdev);
      member.minor = minor(st.st_rdev);
    } else {
      return {};
    }
    return tar_.add(member);
  }

  static std::uint32_t in_box(std::uint32_t id, std::uint32_t swapped) {
    return id == 0 || id == swapped ? swapped - id : id;
  }

  Result<> file(int parent, const std::string& name, const struct stat& st, TarMember& member) {
    if (st.st_nlink > 1) {
      const auto [at, first] = linked_.try_emplace({st.st_dev, st.st_ino}, member.name);
      if (!first) {
        member.type = TarType::kHardLink;
        member.link = at->second;
        return tar_.add(member);
      }
    }
    const Fd fd = TRY(open_at(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    member.size = static_cast<std::uint64_t>(st.st_size);
    member.xattrs = files::read_xattrs(fd.get());
    TRY(tar_.add_file(member, fd.get()));
    return {};
  }

  files::TarWriter tar_;
  SwappedIds swapped_;
  std::vector<Fd> trees_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

}  // namespace

Result<> write_layer(const std::vector<std::string>& before, const std::vector<std::string>& after,
                     SwappedIds swapped, const files::Sink& sink) {
  return LayerTar(sink, swapped).run(before, after);
}

}  // namespace caisson::image
