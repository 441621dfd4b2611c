#include "sys/quota.h"

#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "base/format.h"
#include "base/sha256.h"

namespace caisson::sys {
namespace {

/// Our project ids: numbers that nobody gives out by hand in /etc/projects.
constexpr std::uint32_t kFirst = 0x43000000;
constexpr std::uint32_t kCount = 0x01000000;
constexpr std::uint32_t kTries = 64;
constexpr std::uint64_t kBlock = 1024;  // of Q_GETQUOTA and Q_SETQUOTA, on every file system

bool is_ours(std::uint32_t number) { return number >= kFirst && number - kFirst < kCount; }

Error unsupported(const std::string& path, std::string_view cause, int err = 0) {
  Error error =
      make_error(Code::kFailedPrecondition, "volume_size_unsupported",
                 format("limit directory '{}': {}", path, cause),
                 "it takes root and an XFS or ext4 mounted with prjquota; without a size, every "
                 "file system will do");
  error.sys_errno = err;
  return error;
}

// quotactl_fd(2) (Linux 5.14) needs no device, of which a container may have none. glibc lacks it.
int quotactl(int fd, unsigned command, std::uint32_t number, void* data) {
  return static_cast<int>(::syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), number, data));
}

/// Unused: neither limited nor taken up by files. ENOENT: XFS has never heard of it.
Result<bool> is_unused(int fd, const std::string& path, std::uint32_t number) {
  if_dqblk quota{};
  if (quotactl(fd, Q_GETQUOTA, number, &quota) < 0) {
    if (errno == ENOENT) return true;
    return unsupported(path, "its quotas cannot be read", errno);
  }
  return quota.dqb_bhardlimit == 0 && quota.dqb_bsoftlimit == 0 && quota.dqb_ihardlimit == 0 &&
         quota.dqb_isoftlimit == 0 && quota.dqb_curspace == 0 && quota.dqb_curinodes == 0;
}

Result<std::uint32_t> choose_number(int fd, const std::string& path, std::string_view key) {
  const auto start =
      static_cast<std::uint32_t>(std::strtoul(sha256_hex(key).substr(0, 6).c_str(), nullptr, 16));
  for (std::uint32_t i = 0; i < kTries; ++i) {
    const std::uint32_t number = kFirst + (start + i) % kCount;
    if (TRY(is_unused(fd, path, number))) return number;
  }
  return unsupported(path, "every project id that was tried is in use");
}

Result<> set_limit(int fd, const std::string& path, std::uint32_t number, std::uint64_t blocks) {
  if_dqblk quota{};
  quota.dqb_bhardlimit = quota.dqb_bsoftlimit = blocks;
  quota.dqb_valid = QIF_BLIMITS;
  if (quotactl(fd, Q_SETQUOTA, number, &quota) < 0)
    return unsupported(path, "its quotas cannot be set", errno);
  return {};
}

}  // namespace

Result<> check_quota(int fd, const std::string& path) {
  if (::geteuid() != 0) return unsupported(path, "only root may do that");
  fs_quota_statv state{};
  state.qs_version = FS_QSTATV_VERSION1;
  if (quotactl(fd, Q_XGETQSTATV, 0, &state) < 0)
    return unsupported(path, "its file system has no quotas", errno);
  if ((state.qs_flags & FS_QUOTA_PDQ_ENFD) == 0)
    return unsupported(path, "its file system does not enforce project quotas");
  return {};
}

Result<> limit_directory(int fd, const std::string& path, std::string_view key,
                         std::uint64_t bytes) {
  TRY(check_quota(fd, path));
  const std::uint64_t blocks = bytes / kBlock + (bytes % kBlock != 0);
  if (const std::uint32_t number = limit_of(fd); number != 0) {
    if_dqblk quota{};
    const bool holds =
        quotactl(fd, Q_GETQUOTA, number, &quota) == 0 && quota.dqb_bhardlimit == blocks;
    return holds ? Result<>() : set_limit(fd, path, number, blocks);
  }
  const std::uint32_t number = TRY(choose_number(fd, path, key));
  // The limit first: a directory that has the number is limited, whatever happens in between.
  TRY(set_limit(fd, path, number, blocks));
  fsxattr attributes{};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0) {
    attributes.fsx_projid = number;
    attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (::ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0) return {};
  }
  Error error = unsupported(path, "it cannot be given a project id", errno);
  forget_limit(fd, number);
  return error;
}

std::uint32_t limit_of(int fd) {
  fsxattr attributes{};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0 || !is_ours(attributes.fsx_projid)) return 0;
  return (attributes.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0 ? attributes.fsx_projid : 0;
}

void forget_limit(int fd, std::uint32_t number) {
  [[maybe_unused]] const Result<> cleared = set_limit(fd, "", number, 0);
}

}  // namespace caisson::sys
