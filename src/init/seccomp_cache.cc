#include "init/seccomp_cache.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/sha256.h"

namespace caisson::init {
namespace {

// Part of every file's name: a new layout never meets an old file.
constexpr std::string_view kFormat = "caisson seccomp 1\n";
constexpr std::size_t kMaxBytes = (BPF_MAXINSNS + 1) * sizeof(sock_filter);

/// The last eight bytes of a file. They find files that a crash of the machine left torn; against
/// people, the owner and the mode of the file are checked.
std::string checksum(std::string_view program) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (std::size_t at = 0; at + sizeof sum <= program.size(); at += sizeof sum) {
    std::uint64_t word;
    std::memcpy(&word, program.data() + at, sizeof word);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
  }
  return std::string(reinterpret_cast<const char*>(&sum), sizeof sum);
}

/// Nobody but us (or root) can have written it.
bool trustworthy(int fd) {
  struct stat status;
  if (::fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return false;
  return status.st_uid == ::geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::optional<std::string> read_program(int dir, const std::string& name) {
  Result<Fd> file = open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file || !trustworthy(file->get())) return {};
  Result<std::string> data = read_all(file->get(), kMaxBytes, name);
  constexpr std::size_t kUnit = sizeof(sock_filter);
  if (!data || data->size() % kUnit != 0 || data->size() < 2 * kUnit) return {};
  const std::string sum = data->substr(data->size() - kUnit);
  data->resize(data->size() - kUnit);
  if (sum != checksum(*data)) return {};
  return std::move(*data);
}

Result<Fd> open_cache(const std::string& path) {
  ::mkdir(path.c_str(), 0700);  // there already, or the open says what is wrong
  return open_fd(path, O_RDONLY | O_DIRECTORY);
}

}  // namespace

std::string seccomp_cache_name(std::string_view key) {
  Sha256 hash;
  hash.update(kFormat);
  hash.update(key);
  return hash.hex() + ".bpf";
}

Result<std::string> compiled_policy(const std::string& cache_dir, std::string_view key,
                                    const std::function<Result<std::string>()>& compile) {
  if (cache_dir.empty()) return compile();
  const std::string name = seccomp_cache_name(key);
  const Result<Fd> dir = open_cache(cache_dir);
  if (dir) {
    if (std::optional<std::string> program = read_program(dir->get(), name))
      return std::move(*program);
  }
  std::string program = TRY(compile());
  // The program is good either way; a failed write is repaired by the next start.
  if (dir) static_cast<void>(replace_file(dir->get(), name, program + checksum(program), 0600));
  return program;
}

}  // namespace caisson::init
