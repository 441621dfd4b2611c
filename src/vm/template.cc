#include "vm/template.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/sha256.h"
#include "vm/disk.h"

namespace caisson::vm {
namespace {

constexpr const char* kPartial = "partial";

/// What comes before the size in a name.
constexpr std::size_t kGenerationDigits = 16;

/// Templates with a box: of about 100 MiB each.
constexpr std::size_t kMostWithBox = 8;

Result<Saved> open_saved(int folder, int memory, int state) {
  Saved saved;
  saved.memory = TRY(open_at(folder, kMemory, memory | O_NOFOLLOW, 0600));
  saved.state = TRY(open_at(folder, kState, state | O_NOFOLLOW, 0600));
  return saved;
}

Result<Fd> open_folder(int directory, const std::string& name) {
  return open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/// QEMU maps the file: without room for a page it has written it is killed, and says nothing.
Result<> check_room(int directory) {
  constexpr std::uint64_t kRoom = 160 << 20;  // what a guest writes until it is saved, and some
  struct statvfs info{};
  if (::fstatvfs(directory, &info) < 0) return sys_error("look for room in", "templates");
  if (info.f_bavail * info.f_frsize >= kRoom) return {};
  return errno_error(ENOSPC, "make template", kMemory);
}

void remove_least_used(int directory) {
  std::multimap<std::int64_t, std::string> with_box;
  for (const std::string& name : names_in(".", directory)) {
    struct stat info{};
    if (std::ranges::count(name, '-') == 2 && ::fstatat(directory, name.c_str(), &info, 0) == 0)
      with_box.emplace(info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec, name);
  }
  for (; with_box.size() > kMostWithBox; with_box.erase(with_box.begin()))
    remove_template(directory, with_box.begin()->second);
}

/// Without what differs from one machine to the next.
Result<std::string> digest_of(const Machine& machine) {
  struct stat program{};
  if (::stat(machine.qemu.c_str(), &program) < 0) return sys_error("stat", machine.qemu);
  Machine any = machine;
  any.cpus = 0;
  any.memory_mib = any.tsc_khz = any.bytes_per_second = any.operations_per_second = 0;
  any.base = any.box = any.memory = any.state = -1;
  any.kernel = any.initramfs = any.agent = any.control = any.console = 0;
  std::string inputs;
  for (const std::string& word : command_line(any)) inputs += word + '\n';
  inputs += format("{} {} {}.{}", program.st_ino, program.st_size, program.st_mtim.tv_sec,
                   program.st_mtim.tv_nsec);
  return sha256_hex(inputs);
}

}  // namespace

Result<std::string> describe(const Machine& machine) {
  return format("{} {}x{}\n", TRY(digest_of(machine)), machine.cpus, machine.memory_mib);
}

Result<std::string> template_name(const Machine& machine, const Assets& assets) {
  const std::string inputs = format("{}\n{}\n{}", TRY(digest_of(machine)), assets.digest,
                                    TRY(read_file("/proc/sys/kernel/random/boot_id", 64)));
  return format("{}-{}x{}", sha256_hex(inputs).substr(0, kGenerationDigits), machine.cpus,
                machine.memory_mib);
}

std::string box_template_name(const std::string& of_size, const std::string& inputs) {
  return format("{}-{}", of_size, sha256_hex(inputs).substr(0, kGenerationDigits));
}

Result<Fd> open_templates(const std::string& home) {
  const std::string path = home + "/templates";
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", path);
  return open_fd(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

std::optional<Saved> find_template(int directory, const std::string& name, std::uint64_t bytes) {
  Result<Fd> folder = open_folder(directory, name);
  if (!folder) return std::nullopt;
  ::futimens(folder->get(), nullptr);
  Result<Saved> saved = open_saved(folder->get(), O_RDONLY, O_RDONLY);
  struct stat memory{}, state{};
  if (!saved || ::fstat(saved->memory.get(), &memory) < 0 ||
      ::fstat(saved->state.get(), &state) < 0 || memory.st_size != static_cast<off_t>(bytes) ||
      state.st_size == 0)
    return std::nullopt;
  saved->folder = std::move(*folder);
  return std::move(*saved);
}

Result<Fd> lock_templates(int directory, std::int64_t patience_ns) {
  Fd lock = TRY(open_at(directory, ".", O_RDONLY | O_DIRECTORY));
  for (const std::int64_t begun = boot_ns(); ::flock(lock.get(), LOCK_EX | LOCK_NB) < 0;) {
    if (errno != EINTR && errno != EWOULDBLOCK) return sys_error("lock", "templates");
    if (boot_ns() - begun >= patience_ns)
      return make_error(Code::kDeadlineExceeded, "template_busy",
                        "make template: somebody else has been at it for too long");
    ::usleep(20'000);
  }
  return lock;
}

void remove_template(int directory, const std::string& name) {
  for (const std::string& file : names_in(name, directory))
    ::unlinkat(directory, format("{}/{}", name, file).c_str(), 0);
  ::unlinkat(directory, name.c_str(), AT_REMOVEDIR);
}

Result<Fd> begin_template(int directory, const std::string& name) {
  remove_template(directory, kPartial);
  TRY(check_room(directory));
  remove_template(directory, name);  // one that was not to be found is of no use
  if (::mkdirat(directory, kPartial, 0700) < 0) return sys_error("create directory", "templates");
  return open_folder(directory, kPartial);
}

Result<Saved> make_saved(int folder, std::uint64_t bytes) {
  // QEMU takes a descriptor of the very access it is to have.
  constexpr int kNew = O_CREAT | O_EXCL;
  Saved saved = TRY(open_saved(folder, O_RDWR | kNew, O_WRONLY | kNew));
  if (::ftruncate(saved.memory.get(), static_cast<off_t>(bytes)) < 0)
    return sys_error("make file", kMemory);
  return saved;
}

void remove_broken(int directory, const std::string& name, int folder) {
  const Result<Fd> lock = lock_templates(directory, 0);
  struct stat broken{}, there{};
  if (lock && ::fstat(folder, &broken) == 0 &&
      ::fstatat(directory, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      broken.st_ino == there.st_ino)
    remove_template(directory, name);
}

void drop_template(int directory) { remove_template(directory, kPartial); }

Result<> finish_template(int directory, const std::string& name) {
  const std::string generation = name.substr(0, kGenerationDigits);
  for (const std::string& other : names_in(".", directory))
    if (other != kPartial && !other.starts_with(generation)) remove_template(directory, other);
  if (::renameat(directory, kPartial, directory, name.c_str()) < 0)
    return sys_error("rename into place", name);
  remove_least_used(directory);
  return {};
}

}  // namespace caisson::vm
