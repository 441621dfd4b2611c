// What was proved, remembered for as long as the machine runs and the programs are the same.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/qemu.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "engine/probe.h"

namespace caisson::engine {
namespace {

constexpr std::string_view kProved = "proved\n";

std::string variable(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): as in home.cc
  return value == nullptr ? "" : value;
}

/// A directory of the user's own, the same for all homes.
std::string choose_directory(const Runtime::Impl& runtime) {
  if (::geteuid() == 0) return "/run/caisson";
  if (std::string run = variable("XDG_RUNTIME_DIR"); !run.empty()) return run + "/caisson";
  if (std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/caisson";
  if (std::string home = variable("HOME"); !home.empty()) return home + "/.cache/caisson";
  return runtime.path("cache");
}

/// Nobody else may have a word in what was proved.
Fd open_directory(const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  if (::access(parent.c_str(), F_OK) != 0) ::mkdir(parent.c_str(), 0700);
  ::mkdir(path.c_str(), 0700);
  Fd directory = open_fd(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).value_or(Fd());
  struct stat info{};
  if (!directory || ::fstat(directory.get(), &info) < 0 || info.st_uid != ::geteuid() ||
      (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return {};
  return directory;
}

/// Which file it is: its inode changes with any byte of it, inode(7). Empty: there is none.
std::string version_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return {};
  return format("{} {} {} {} {} {}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                info.st_mtim.tv_nsec, info.st_ctim.tv_nsec);
}

/// The boot and the programs, with `machines` also those that microVMs are made of.
std::string key(const Runtime::Impl& runtime, std::string_view what, bool machines) {
  const std::string shim = version_of(runtime.shim);
  if (runtime.boot.empty() || shim.empty()) return {};
  std::string versions = format("{} {}", runtime.boot, shim);
  if (machines) {
    const std::string guest = find_guest(runtime.options, runtime.shim);
    versions += format(";{}", version_of(guest + "/manifest.json"));
    for (const char* qemu : backend::kQemuPaths) versions += format(";{}", version_of(qemu));
  }
  return format("{}-{}", what, sha256_hex(versions).substr(0, 32));
}

std::optional<std::string> read(const Runtime::Impl& runtime, const std::string& name) {
  if (name.empty()) return std::nullopt;
  const Fd directory = open_directory(choose_directory(runtime));
  if (!directory) return std::nullopt;
  const Result<Fd> file = open_at(directory.get(), name, O_RDONLY | O_NOFOLLOW);
  if (!file) return std::nullopt;
  Result<std::string> text = read_all(file->get(), 1 << 20, name);
  if (!text) return std::nullopt;
  return std::move(*text);
}

void write(const Runtime::Impl& runtime, const std::string& name, const std::string& text) {
  const Fd directory = name.empty() ? Fd() : open_directory(choose_directory(runtime));
  // What cannot be remembered is tried again.
  if (directory) static_cast<void>(replace_file(directory.get(), name, text, 0600));
}

std::string proof_key(const Runtime::Impl& runtime, Isolation isolation) {
  return key(runtime, format("proof-{}", to_string(isolation)), isolation == Isolation::kMicroVm);
}

std::string probe_key(const Runtime::Impl& runtime) {
  const std::string home = sha256_hex(runtime.layout.home).substr(0, 16);
  return key(runtime, format("doctor-{}", home), true);
}

/// What failed, whether it was required or not, is claimed and does not hold.
std::string unproved(const std::vector<Capability>& rows) {
  std::string names;
  for (const Capability& row : rows)
    if (row.proof == Proof::kFailed || (row.required && row.proof != Proof::kProved))
      names += format("{}{} ({})", names.empty() ? "" : ", ", row.name, row.detail);
  return names;
}

Error refused(Isolation isolation, std::string_view names) {
  return make_error(Code::kFailedPrecondition, "isolation_unproved",
                    format("start box: the isolation '{}' does not hold on this host: {}",
                           to_string(isolation), names),
                    "caisson doctor --fresh tries it again");
}

/// Boxes that are started at once wait for one trial, which ends with the descriptor; but not for
/// one that does not come to an end.
Fd take_turn(const Runtime::Impl& runtime, Isolation isolation) {
  const Fd directory = open_directory(choose_directory(runtime));
  if (!directory) return {};
  const std::string name = format("trial-{}", to_string(isolation));
  Result<Fd> turn = open_at(directory.get(), name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  constexpr std::int64_t kPatience = 150'000'000'000;
  for (const std::int64_t begun = boot_ns(); turn && boot_ns() - begun < kPatience;) {
    if (::flock(turn->get(), LOCK_EX | LOCK_NB) == 0) return std::move(*turn);
    ::usleep(20'000);
  }
  return {};
}

}  // namespace

void remember_proof(const Runtime::Impl& runtime, Isolation isolation,
                    const std::vector<Capability>& rows) {
  const std::string names = unproved(rows);
  write(runtime, proof_key(runtime, isolation), names.empty() ? std::string(kProved) : names);
}

Result<> require_proof(const Runtime::Impl& runtime, const BoxSpec& spec) {
  const Isolation isolation = spec.isolation;
  if (isolation == Isolation::kUnsafeHost) return {};  // it claims nothing
  const std::string name = proof_key(runtime, isolation);
  std::optional<std::string> found = read(runtime, name);
  Fd turn;
  if (!found) {
    turn = take_turn(runtime, isolation);
    found = read(runtime, name);
  }
  if (found) return *found == kProved ? Result<>() : refused(isolation, *found);
  const std::vector<Capability> rows =
      TRY(try_isolation(runtime, isolation, {.ready_timeout = spec.machine.ready_timeout}));
  remember_proof(runtime, isolation, rows);
  const std::string names = unproved(rows);
  return names.empty() ? Result<>() : refused(isolation, names);
}

std::optional<std::string> remembered_probe(const Runtime::Impl& runtime) {
  return read(runtime, probe_key(runtime));
}

void remember_probe(const Runtime::Impl& runtime, const std::string& json) {
  write(runtime, probe_key(runtime), json);
}

}  // namespace caisson::engine
