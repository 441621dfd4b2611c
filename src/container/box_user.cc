#include "container/box_user.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "init/users.h"
#include "sys/dir.h"
#include "sys/filesystem.h"

namespace caisson::container {
namespace {

constexpr const char* kFile = "ids";

/// A small file as the topmost layer that has it shows it. What the box may be told differs only
/// where a layer hides the file, and then the user is looked up once more when it runs.
std::string in_layers(const Rootfs& rootfs, const std::string& data, std::string_view path) {
  constexpr std::size_t kMaxFile = 4u << 20;
  std::vector<std::string> trees = {data + "/" + writable_name(rootfs)};
  for (const std::string& lower : rootfs.lowers) trees.push_back(lower_path(rootfs, lower));
  for (const std::string& tree : trees) {
    const Result<sys::Dir> dir = sys::Dir::open(tree);
    if (!dir) continue;
    if (Result<std::string> text = dir->read(path, kMaxFile)) return std::move(*text);
  }
  return {};
}

/// A bind of the caller's own directory for writing, that may be mapped. In the outer namespace,
/// where we are, the caller is root.
bool is_callers(const Mount& mount) {
  const Result<Fd> source = sys::open_real(mount.source, O_PATH);
  struct stat info{};
  return source && ::fstat(source->get(), &info) == 0 && info.st_uid == ::geteuid();
}

Result<> tell(const Mount& mount, std::vector<std::string>& warnings) {
  const Result<Fd> source = sys::open_real(mount.source, O_PATH);
  if (!source) return {};  // an error of the mount
  const std::string name = TRY(sys::filesystem_of(source->get())).name;
  if (mount.idmap == IdMapping::kRequire)
    return make_error(Code::kFailedPrecondition, "idmap_unavailable",
                      format("map ids of '{}': an ordinary user cannot for files of others on {}",
                             mount.source, name),
                      "run Caisson as root, or use a directory of your own");
  warnings.push_back(
      format("'{}' is shown with the host's ids: it belongs to another user, and an "
             "ordinary user cannot map ids on {}",
             mount.source, name));
  return {};
}

}  // namespace

SwappedIds swapped_ids(const std::string& data) {
  SwappedIds ids;
  const std::string text = read_file(data + "/" + kFile, 64).value_or("");
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, ids.uid);
  if (error == std::errc() && at != end) std::from_chars(at + 1, end, ids.gid);
  return ids;
}

Result<> find_box_user(const BoxSpec& spec, const Rootfs& rootfs, const std::string& data,
                       Facts& facts, std::vector<std::string>& warnings) {
  const init::User user =
      TRY(init::resolve_user(spec.user, spec.groups, in_layers(rootfs, data, "/etc/passwd"),
                             in_layers(rootfs, data, "/etc/group")));
  facts.user_uid = user.uid;
  facts.user_gid = user.gid;
  const bool has_ranges = !facts.subuids.empty() && !facts.subgids.empty();
  bool wanted = false;
  for (const Mount& mount : spec.mounts) {
    if (mount.type != MountType::kBind || mount.read_only || mount.idmap == IdMapping::kOff)
      continue;
    if (is_callers(mount))
      wanted = true;
    else
      TRY(tell(mount, warnings));
  }
  if (!has_ranges) return {};  // the one id there is is the user's
  const std::string file = data + "/" + kFile;
  if (::access(file.c_str(), F_OK) == 0) {
    const SwappedIds before = swapped_ids(data);
    facts.user_uid = before.uid;
    facts.user_gid = before.gid;
    facts.swap_ids = before.uid != 0 || before.gid != 0;
    return {};
  }
  facts.swap_ids = wanted && (user.uid != 0 || user.gid != 0);
  const Fd parent = TRY(open_fd(data, O_PATH | O_DIRECTORY));
  return replace_file(parent.get(), kFile,
                      facts.swap_ids ? format("{} {}", user.uid, user.gid) : "0 0", 0600);
}

}  // namespace caisson::container
