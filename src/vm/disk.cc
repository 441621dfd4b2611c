#include "vm/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope_exit.h"
#include "image/disk_image.h"
#include "vm/memory.h"

namespace caisson::vm {
namespace {

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

void remove_box_disk(int data, const std::string& name) {
  for (const char* file : {kDisk, kAsleep})
    ::unlinkat(data, format("{}/{}", name, file).c_str(), 0);
  ::unlinkat(data, name.c_str(), AT_REMOVEDIR);
}

Result<Fd> open_box_disk(int data, const std::string& name, const std::string& saved,
                         const std::string& cache, std::uint64_t bytes, bool asleep) {
  const std::string path = name + "/" + kDisk;
  if (asleep) remove_box_disk(data, name);  // one that did not go on
  Result<Fd> there = open_at(data, path, O_RDWR | O_NOFOLLOW);
  if (there || there.error().sys_errno != ENOENT) return there;
  const Fd begin = saved.empty() ? TRY(open_empty(cache, bytes))
                                 : TRY(open_fd(saved + "/" + kDisk, O_RDONLY | O_NOFOLLOW));
  struct stat info{};
  if (::fstat(begin.get(), &info) < 0) return sys_error("stat", kDisk);
  // The directory is there when all of it is.
  constexpr const char* kMaking = "machine.making";
  const std::string partial = format("{}/{}", kMaking, kDisk),
                    mark = format("{}/{}", kMaking, kAsleep);
  for (const std::string& left : {partial, mark}) ::unlinkat(data, left.c_str(), 0);
  if (::mkdirat(data, kMaking, 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", kMaking);
  const Fd disk = TRY(open_at(data, partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(copy_file(begin.get(), disk.get(), static_cast<std::uint64_t>(info.st_size), kDisk));
  if (asleep) TRY(open_at(data, mark, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (::renameat(data, kMaking, data, name.c_str()) < 0)
    return sys_error("rename into place", name);
  return open_at(data, path, O_RDWR | O_NOFOLLOW);
}

}  // namespace caisson::vm
