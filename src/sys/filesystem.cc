#include "sys/filesystem.h"

#include <sys/statvfs.h>
#include <sys/vfs.h>

namespace caisson::sys {
namespace {

struct Magic {
  unsigned number;
  const char* name;
};
// linux/magic.h and the sources of each.
constexpr Magic kMagics[] = {
    {0xef53, "ext4"},         {0x58465342, "xfs"},     {0x9123683e, "btrfs"},
    {0x01021994, "tmpfs"},    {0x794c7630, "overlay"}, {0x65735546, "fuse"},
    {0x6969, "nfs"},          {0x01021997, "9p"},      {0x4d44, "vfat"},
    {0x2fc12fc1, "zfs"},      {0xff534d42, "cifs"},    {0xfe534d42, "smb2"},
    {0x73717368, "squashfs"}, {0xe0f5e1e2, "erofs"},   {0xf2f52010, "f2fs"},
    {0xca451a4e, "bcachefs"}, {0x858458f6, "ramfs"},   {0x2011bab0, "exfat"},
    {0x7366746e, "ntfs3"},    {0x00c36400, "ceph"},    {0x62656572, "sysfs"},
    {0x9fa0, "proc"},         {0x27e0eb, "cgroup"},    {0x63677270, "cgroup2"}};

}  // namespace

Result<Filesystem> filesystem_of(int fd) {
  struct statfs info{};
  if (::fstatfs(fd, &info) < 0) return sys_error("look at file system", "");
  Filesystem found{format("file system {:#x}", static_cast<unsigned>(info.f_type)),
                   (static_cast<unsigned long>(info.f_flags) & ST_RDONLY) != 0};
  for (const Magic& magic : kMagics)
    if (magic.number == static_cast<unsigned>(info.f_type)) found.name = magic.name;
  return found;
}

}  // namespace caisson::sys
