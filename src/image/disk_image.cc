#include "image/disk_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/fd.h"
#include "base/scope_exit.h"
#include "base/subprocess.h"
#include "sys/mount.h"
#include "sys/tree.h"

namespace caisson::image {
namespace {

constexpr std::uint64_t kBlock = 4096, kInodeBytes = 256;
/// What makes it an ext4. All are named: the host's mke2fs.conf has no say.
constexpr const char* kFeatures =
    "none,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,large_file,"
    "metadata_csum,sparse_super";

/// Paths of programs of e2fsprogs.
struct Tools {
  std::string mke2fs, debugfs;
};

/// What a tree takes on an ext4.
struct Need {
  std::uint64_t blocks = 0, inodes = 0;
};

/// Adds up a directory of the mounted layers; file systems cannot be nested deeper than a path is
/// long, and the unpacker's limit on depth bounds the recursion.
Result<> add_need(Fd directory, Need& need) {
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(directory.get()), ::closedir);
  if (!list) return sys_error("read directory of", "image");
  const int fd = directory.release();
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat st{};
    if (::fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) return sys_error("stat", name);
    ++need.inodes;
    // A name and its attributes may take a part of a block each.
    need.blocks += 1 + static_cast<std::uint64_t>(st.st_blocks) * 512 / kBlock;
    if (S_ISDIR(st.st_mode))
      TRY(add_need(TRY(open_at(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)), need));
  }
  return {};
}

std::string find_program(std::string_view name) {
  for (const char* folder :
       {"/usr/sbin/", "/sbin/", "/usr/bin/", "/usr/local/sbin/", "/usr/local/bin/"})
    if (const std::string path = folder + std::string(name); ::access(path.c_str(), X_OK) == 0)
      return path;
  return {};
}

/// 32 digits of a digest as RFC 9562 writes a UUID (version 8: the writer's own way).
std::string uuid_of(std::string_view digest) {
  const std::string_view hex = digest.substr(digest.find(':') + 1);
  return format("{}-{}-8{}-a{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(13, 3),
                hex.substr(17, 3), hex.substr(20, 12));
}

/// The layers, read-only, on `place` in a mount namespace of this process's own.
Result<> mount_layers(const DiskImage& image, const std::string& place, const std::string& empty) {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET) < 0) return sys_error("leave namespaces", "");
  TRY(sys::make_private());
  std::vector<std::string> lowers;
  for (const std::string& lower : image.lowers) lowers.push_back(image.lower_parent + "/" + lower);
  lowers.push_back(empty);  // without an upper directory overlayfs wants two
  const Fd target = TRY(open_fd(place, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  const Fd overlay = TRY(sys::make_overlay(lowers, {{"userxattr", ""}},
                                           {.read_only = true, .noexec = true}, target.get()));
  return sys::attach(overlay.get(), target.get(), place);
}

Result<> run_tool(const std::vector<std::string>& words) {
  // The first is the time of day to the library of e2fsprogs.
  return run(words, {"E2FSPROGS_FAKE_TIME=1", "LC_ALL=C", "MKE2FS_CONFIG=/dev/null",
                     "PATH=/usr/sbin:/usr/bin:/sbin:/bin"});
}

Result<> make_ext4(const Tools& tools, const DiskImage& image, const std::string& tree,
                   const std::string& file, const Need& need) {
  struct stat top{};
  if (::stat(tree.c_str(), &top) < 0) return sys_error("stat", tree);
  const std::uint64_t inodes = need.inodes + need.inodes / 8 + 256;
  const std::uint64_t blocks =
      need.blocks + need.blocks / 16 + inodes * kInodeBytes / kBlock + (16 << 20) / kBlock;
  const std::string uuid = uuid_of(image.digest);
  const std::vector<std::string> words = {
      tools.mke2fs,
      "-q",
      "-F",
      "-b",
      std::to_string(kBlock),
      "-I",
      std::to_string(kInodeBytes),
      "-m",
      "0",
      "-N",
      std::to_string(inodes),
      "-O",
      kFeatures,
      "-U",
      uuid,
      "-E",
      format("root_owner={}:{},lazy_itable_init=0,nodiscard,hash_seed={}", top.st_uid, top.st_gid,
             uuid),
      "-d",
      tree,
      file,
      std::to_string(blocks)};
  TRY(run_tool(words));
  // mke2fs 1.47.0 leaves these of the top directory out.
  for (const std::string& field :
       {format("mode 0{:o}", top.st_mode), format("mtime @{}", top.st_mtim.tv_sec)})
    TRY(run_tool({tools.debugfs, "-w", "-R", "set_inode_field / " + field, file}));
  return {};
}

bool says(const Error& error, std::string_view text) {
  return error.message.find(text) != std::string::npos;
}

Error as_disk_full(Error error) {
  if (!says(error, "No space left on device")) return error;
  error.code = Code::kResourceExhausted;
  error.reason = "disk_full";
  return error;
}

Result<> fill(const Tools& tools, const DiskImage& image, const std::string& tree,
              const std::string& partial) {
  Need need;
  TRY(add_need(TRY(open_fd(tree, O_RDONLY | O_DIRECTORY)), need));
  Result<> made = make_ext4(tools, image, tree, partial, need);
  // Extents and attributes may need more than was thought.
  for (int i = 0; i < 3 && !made && says(made.error(), "Could not allocate"); ++i) {
    need.blocks += need.blocks / 4 + 4096;
    ::unlink(partial.c_str());
    made = make_ext4(tools, image, tree, partial, need);
  }
  if (!made) return as_disk_full(std::move(made).error());
  const Fd file = TRY(open_fd(partial, O_RDONLY | O_NOFOLLOW));
  if (::fchmod(file.get(), 0444) < 0 || ::fsync(file.get()) < 0) return sys_error("keep", partial);
  return {};
}

}  // namespace

Result<> make_disk_image(const DiskImage& image) {
  const Tools tools{find_program("mke2fs"), find_program("debugfs")};
  if (tools.mke2fs.empty() || tools.debugfs.empty())
    return make_error(Code::kFailedPrecondition, "mke2fs_missing",
                      format("there is no {}", tools.mke2fs.empty() ? "mke2fs" : "debugfs"),
                      "install the package e2fsprogs");
  ::umask(022);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const std::string base = format("{}/{}.{}", image.directory, image.name, ::getpid());
  const std::string tree = base + ".tree", empty = base + ".empty", partial = base + ".partial";
  ScopeExit clear([&] {
    ::unlink(partial.c_str());
    ::rmdir(empty.c_str());
    ::rmdir(tree.c_str());
  });
  for (const std::string& path : {tree, empty})
    if (::mkdir(path.c_str(), 0755) < 0) return sys_error("create directory", path);
  TRY(mount_layers(image, tree, empty));
  Result<> made = fill(tools, image, tree, partial);
  TRY(sys::detach(tree));
  TRY(std::move(made));
  const std::string target = image.directory + "/" + image.name;
  if (::rename(partial.c_str(), target.c_str()) < 0) return sys_error("rename into place", target);
  return {};
}

namespace {

Result<std::string> find_qemu_img(const std::string& path) {
  std::string program = find_program("qemu-img");
  if (!program.empty()) return program;
  return make_error(Code::kFailedPrecondition, "qemu_img_missing",
                    format("make disk '{}': there is no qemu-img", path),
                    "install the package qemu-utils");
}

}  // namespace

Result<> make_empty_disk(const std::string& path, std::uint64_t bytes) {
  const std::string mke2fs = find_program("mke2fs");
  if (mke2fs.empty())
    return make_error(Code::kFailedPrecondition, "mke2fs_missing",
                      format("make disk '{}': there is no mke2fs", path),
                      "install the package e2fsprogs");
  const std::string qemu_img = TRY(find_qemu_img(path));
  const std::string raw = path + ".raw";
  ScopeExit clear([&] { ::unlink(raw.c_str()); });
  {
    const Fd file = TRY(open_fd(raw, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    if (::ftruncate(file.get(), static_cast<off_t>(bytes)) < 0) return sys_error("size", raw);
  }
  // The journal is small and the tables are made by the guest's kernel as they are needed: an empty
  // disk takes little on the host. Smaller inodes would keep whole seconds only. One that a journal
  // would take much of has none.
  constexpr std::uint64_t kLeastForJournal = 32u << 20;
  const bool journal = bytes >= kLeastForJournal;
  std::vector<std::string> words = {mke2fs, "-q", "-F", "-m", "0", "-b", std::to_string(kBlock)};
  words.insert(words.end(), {"-I", std::to_string(kInodeBytes), "-O",
                             format("{}{}", kFeatures, journal ? ",has_journal" : "")});
  if (journal) words.insert(words.end(), {"-J", "size=4"});
  words.insert(words.end(), {"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", raw});
  Result<> made = run_tool(words);
  if (made)
    made = run(
        {qemu_img, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=65536", raw, path},
        {"LC_ALL=C"});
  return made ? made : as_disk_full(made.error());
}

Result<> make_qcow2_overlay(const std::string& base, const std::string& path) {
  const std::string program = TRY(find_qemu_img(path));
  // "file:" keeps what stands before a colon of the name from being taken for a protocol.
  return run(
      {program, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "file:" + base, "file:" + path},
      {"LC_ALL=C"});
}

}  // namespace caisson::image
