#include "files/pack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/fd.h"
#include "files/path.h"

namespace caisson::files {
namespace {

/// One descriptor is open for every level.
constexpr std::size_t kMostLevels = 512;

bool vanished(const Error& error) { return error.sys_errno == ENOENT; }

class Packer final {
 public:
  Packer(const PackOptions& options, TarWriter& tar) : options_(options), tar_(tar) {}

  /// `path` is the member's name.
  Result<> add(const Fd& entry, const std::string& path, std::size_t level) {
    struct stat st{};
    if (::fstat(entry.get(), &st) < 0) return sys_error("stat", path);
    TarMember member;
    member.name = path;
    member.mode = st.st_mode & 07777;
    member.uid = st.st_uid;
    member.gid = st.st_gid;
    member.mtime = st.st_mtim.tv_sec;
    member.mtime_ns = st.st_mtim.tv_nsec;
    if (S_ISDIR(st.st_mode)) return directory(entry.get(), member, level);
    if (S_ISREG(st.st_mode)) return file(entry.get(), st, member);
    if (S_ISLNK(st.st_mode)) {
      member.type = TarType::kSymlink;
      member.link = TRY(read_link(entry.get(), path));
    } else if (S_ISFIFO(st.st_mode)) {
      member.type = TarType::kFifo;
    } else if (options_.devices && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) {
      member.type = S_ISCHR(st.st_mode) ? TarType::kCharDevice : TarType::kBlockDevice;
      member.major = major(st.st_rdev);
      member.minor = minor(st.st_rdev);
    } else {
      ++packed_.skipped;
      return {};
    }
    ++packed_.files;
    return tar_.add(member);
  }

  const Packed& packed() const { return packed_; }

 private:
  Result<> directory(int entry, TarMember& member, std::size_t level) {
    if (level >= kMostLevels)
      return make_error(
          Code::kResourceExhausted, "tree_too_deep",
          format("pack '{}': it is nested more than {} deep", member.name, kMostLevels));
    const Fd dir = TRY(open_at(entry, ".", O_RDONLY | O_DIRECTORY));
    const std::string path = member.name;
    member.type = TarType::kDirectory;
    member.name += '/';
    if (options_.xattrs) member.xattrs = read_xattrs(dir.get());
    ++packed_.files;
    TRY(tar_.add(member));
    for (const std::string& name : TRY(names_in(dir.get(), path))) {
      const Fd entry(::openat(dir.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!entry && errno == ENOENT) continue;
      if (!entry) return path_error("open", name);
      Result<> added = add(entry, path == "." ? name : format("{}/{}", path, name), level + 1);
      if (!added && !vanished(added.error())) return added;
    }
    return {};
  }

  Result<> file(int entry, const struct stat& st, TarMember& member) {
    if (st.st_nlink > 1) {
      const auto [at, first] = linked_.try_emplace({st.st_dev, st.st_ino}, member.name);
      if (!first) {
        member.type = TarType::kHardLink;
        member.link = at->second;
        ++packed_.files;
        return tar_.add(member);
      }
    }
    // The kind of file cannot have changed since, so this neither blocks nor has an effect.
    const Fd fd = TRY(reopen(entry, member.name, O_RDONLY | O_NOCTTY | O_NONBLOCK));
    member.size = static_cast<std::uint64_t>(st.st_size);
    if (options_.xattrs) member.xattrs = read_xattrs(fd.get());
    ++packed_.files;
    packed_.bytes += TRY(tar_.add_file(member, fd.get()));
    return {};
  }

  const PackOptions& options_;
  TarWriter& tar_;
  Packed packed_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

}  // namespace

Result<Packed> pack(const Fd& entry, const PackOptions& options, TarWriter& tar) {
  Packer packer(options, tar);
  TRY(packer.add(entry, options.name, 0));
  return packer.packed();
}

}  // namespace caisson::files
