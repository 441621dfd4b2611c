#include "sys/landlock.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace caisson::sys {
namespace {

// The kernel's structures as of ABI 6; older kernels accept a size that cuts off what they do not
// know, and all-zero fields beyond it.
struct RulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};
struct __attribute__((packed)) PathBeneathAttr {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};
constexpr unsigned kVersionFlag = 1;
struct NetPortAttr {
  std::uint64_t allowed_access;
  std::uint64_t port;
};
constexpr int kPathBeneath = 1, kNetPort = 2;
constexpr std::uint64_t kNetTcp = 0b11;  // bind, connect
constexpr std::uint64_t kScopes = 0b11;  // abstract Unix sockets, signals
constexpr FsAccess kOfFiles = fs_access::kExecute | fs_access::kWriteFile | fs_access::kReadFile |
                              fs_access::kTruncate | fs_access::kIoctlDev;

Error unavailable(std::string what, std::string hint) {
  return make_error(Code::kUnimplemented, "landlock_unavailable", std::move(what), std::move(hint));
}

Error level_error(std::string_view what, int needed, std::string_view since, int abi) {
  return unavailable(
      format("forbid {} with Landlock: this kernel has ABI {}, it needs {}", what, abi, needed),
      format("Linux {} has it", since));
}

}  // namespace

Result<int> landlock_abi() {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionFlag);
  if (abi >= 1) return static_cast<int>(abi);
  const int err = errno;
  return unavailable(format("use Landlock: {}", errno_text(err)),
                     err == EOPNOTSUPP ? "enable it with the kernel parameter lsm=landlock,…"
                                       : "it needs Linux 5.13 or newer, built with it");
}

FsAccess landlock_rights(int abi) {
  FsAccess rights = (fs_access::kMakeSym << 1) - 1;
  if (abi >= 2) rights |= fs_access::kRefer;
  if (abi >= 3) rights |= fs_access::kTruncate;
  if (abi >= 5) rights |= fs_access::kIoctlDev;
  return rights;
}

Result<Landlock> Landlock::create(const LandlockOptions& options) {
  const int abi = std::min(TRY(landlock_abi()), options.most_abi);
  RulesetAttr attr{landlock_rights(abi), 0, 0};
  std::size_t size = sizeof attr.handled_access_fs;
  if (options.forbid_tcp) {
    if (abi < 4) return level_error("TCP", 4, "6.7", abi);
    attr.handled_access_net = kNetTcp;
    size = offsetof(RulesetAttr, scoped);
  }
  if (options.forbid_scope) {
    if (abi < 6) return level_error("signals and abstract sockets", 6, "6.12", abi);
    attr.scoped = kScopes;
    size = sizeof attr;
  }
  Fd rules{static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attr, size, 0))};
  if (!rules) return sys_error("landlock_create_ruleset", "");
  return Landlock(std::move(rules), abi);
}

Result<> Landlock::allow(int fd, FsAccess access, std::string_view name) {
  if (access & ~landlock_rights(abi_) & fs_access::kRefer)
    return level_error("all but links between directories", 2, "5.19", abi_);
  struct stat st{};
  if (::fstat(fd, &st) < 0) return sys_error("fstat", name);
  access &= landlock_rights(abi_);
  if (!S_ISDIR(st.st_mode)) access &= kOfFiles;
  const PathBeneathAttr attr{access, fd};
  if (::syscall(SYS_landlock_add_rule, rules_.get(), kPathBeneath, &attr, 0) < 0)
    return sys_error("landlock_add_rule", name);
  return {};
}

Result<> Landlock::allow_port(std::uint16_t port, std::uint64_t access) {
  const NetPortAttr attr{access, port};
  if (::syscall(SYS_landlock_add_rule, rules_.get(), kNetPort, &attr, 0) < 0)
    return sys_error("landlock_add_rule", format("port {}", port));
  return {};
}

Result<> Landlock::restrict_self() const {
  if (::syscall(SYS_landlock_restrict_self, rules_.get(), 0) < 0)
    return sys_error("landlock_restrict_self", "");
  return {};
}

}  // namespace caisson::sys
