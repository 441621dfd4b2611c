// Landlock, landlock(7): a process forbids itself what it will not need, without privilege. All
// that this header names is either enforced or an error; nothing is left out silently.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fd.h"

namespace caisson::sys {

/// Rights on files and directories: LANDLOCK_ACCESS_FS_*, whatever the header of this build knows.
using FsAccess = std::uint64_t;
namespace fs_access {
constexpr FsAccess kExecute = 1u << 0;
constexpr FsAccess kWriteFile = 1u << 1;
constexpr FsAccess kReadFile = 1u << 2;
constexpr FsAccess kReadDir = 1u << 3;
constexpr FsAccess kRemoveDir = 1u << 4;
constexpr FsAccess kRemoveFile = 1u << 5;
constexpr FsAccess kMakeChar = 1u << 6;
constexpr FsAccess kMakeDir = 1u << 7;
constexpr FsAccess kMakeReg = 1u << 8;
constexpr FsAccess kMakeSock = 1u << 9;
constexpr FsAccess kMakeFifo = 1u << 10;
constexpr FsAccess kMakeBlock = 1u << 11;
constexpr FsAccess kMakeSym = 1u << 12;
constexpr FsAccess kRefer = 1u << 13;  ///< link and rename between directories; ABI 2, Linux 5.19
constexpr FsAccess kTruncate = 1u << 14;  ///< ABI 3, Linux 6.2
constexpr FsAccess kIoctlDev = 1u << 15;  ///< ABI 5, Linux 6.10

constexpr FsAccess kRead = kReadFile | kReadDir;
/// Everything but running programs and driving devices.
constexpr FsAccess kReadWrite = kRead | kWriteFile | kRemoveDir | kRemoveFile | kMakeChar |
                                kMakeDir | kMakeReg | kMakeSock | kMakeFifo | kMakeBlock |
                                kMakeSym | kRefer | kTruncate;
}  // namespace fs_access

/// The kernel's ABI level, 1 and up. Errors: `landlock_unavailable` where it is not built or not
/// enabled.
Result<int> landlock_abi();
/// The rights on files that a level knows and so can forbid.
FsAccess landlock_rights(int abi);

struct LandlockOptions {
  bool forbid_tcp = false;    ///< bind(2) and connect(2) of TCP sockets; ABI 4, Linux 6.7
  bool forbid_scope = false;  ///< abstract Unix sockets and signals outward; ABI 6, Linux 6.12
  int most_abi = 99;          ///< behave as a kernel of this level does; for tests
};

/// A set of rules in the making: every right on files that the kernel knows is forbidden, but for
/// what is allowed below. Not thread-safe.
class Landlock final {
 public:
  /// Errors: `landlock_unavailable`, also when `options` names what this kernel cannot forbid:
  /// the caller, who can ask `landlock_abi`, decides whether it goes on with less.
  static Result<Landlock> create(const LandlockOptions& options = {});

  int abi() const { return abi_; }
  /// Allows `access` on the file or below the directory `fd` (O_PATH suffices). Rights that a file
  /// cannot have and rights that this kernel does not know (and so does not forbid) are left
  /// away; kRefer, which is always forbidden where it is unknown, is then an error.
  Result<> allow(int fd, FsAccess access, std::string_view name);
  /// Allows TCP sockets to connect to a port, or to bind to it. Only with `forbid_tcp`.
  Result<> allow_connect(std::uint16_t port) { return allow_port(port, 1u << 1); }
  Result<> allow_bind(std::uint16_t port) { return allow_port(port, 1u << 0); }
  int fd() const { return rules_.get(); }
  /// For this thread and what it makes from now on. Needs no_new_privs or CAP_SYS_ADMIN.
  Result<> restrict_self() const;

 private:
  Result<> allow_port(std::uint16_t port, std::uint64_t access);
  Landlock(Fd rules, int abi) : rules_(std::move(rules)), abi_(abi) {}
  Fd rules_;
  int abi_;
};

}  // namespace caisson::sys
