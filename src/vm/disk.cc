#include "vm/disk.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope_exit.h"
#include "image/disk_image.h"

namespace caisson::vm {
namespace {

constexpr const char* kDisk = "disk.qcow2";

Result<> copy(int from, int to, const std::string& name) {
  struct stat info{};
  if (::fstat(from, &info) < 0) return sys_error("stat", name);
  off_t done = 0;
  while (done < info.st_size) {
    const ssize_t n = ::sendfile(to, from, &done, static_cast<std::size_t>(info.st_size - done));
    if (n > 0) continue;
    Error error = sys_error("copy disk", name);
    if (error.sys_errno == ENOSPC || error.sys_errno == EDQUOT) {
      error.code = Code::kResourceExhausted;
      error.reason = "disk_full";
    }
    return error;
  }
  return {};
}

/// Others may make the same at the same time; one of them stays.
Result<Fd> open_empty(const std::string& cache, std::uint64_t bytes) {
  const std::string path = format("{}/empty-{}.qcow2", cache, bytes);
  if (Result<Fd> there = open_fd(path, O_RDONLY); there || there.error().sys_errno != ENOENT)
    return there;
  const std::string partial = format("{}.{}", path, ::getpid());
  ScopeExit clear([&] { ::unlink(partial.c_str()); });
  TRY(image::make_empty_disk(partial, bytes));
  if (::rename(partial.c_str(), path.c_str()) < 0) return sys_error("rename into place", path);
  return open_fd(path, O_RDONLY);
}

}  // namespace

Result<Fd> open_box_disk(int data, const std::string& cache, std::uint64_t bytes) {
  Result<Fd> disk = open_at(data, kDisk, O_RDWR | O_NOFOLLOW);
  if (disk || disk.error().sys_errno != ENOENT) return disk;
  constexpr const char* kPartial = "disk.partial";
  const Fd empty = TRY(open_empty(cache, bytes));
  const Fd partial = TRY(open_at(data, kPartial, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(copy(empty.get(), partial.get(), kPartial));
  if (::renameat(data, kPartial, data, kDisk) < 0) return sys_error("rename into place", kDisk);
  return open_at(data, kDisk, O_RDWR | O_NOFOLLOW);
}

}  // namespace caisson::vm
