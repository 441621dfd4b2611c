#include "fetch/seal.h"

#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <linux/capability.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <span>

#include "fetch/seal_filter.h"
#include "sys/capabilities.h"
#include "sys/landlock.h"
#include "sys/mount.h"

namespace caisson::fetch {
namespace {

constexpr uid_t kNobody = 65534;
constexpr sys::CapMask kUnpackerCaps = sys::cap_bit(CAP_CHOWN) | sys::cap_bit(CAP_DAC_OVERRIDE) |
                                       sys::cap_bit(CAP_FOWNER) | sys::cap_bit(CAP_FSETID) |
                                       sys::cap_bit(CAP_MKNOD) | sys::cap_bit(CAP_SETFCAP);

/// What libraries load at their first use must be loaded while files can be opened.
void load_lazy_parts() {
  EVP_MD_free(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  const iconv_t converter = ::iconv_open("ANSI_X3.4-1968", "UTF-8");
  // NOLINTNEXTLINE(performance-no-int-to-ptr): POSIX's value for "none"
  if (converter != reinterpret_cast<iconv_t>(-1)) ::iconv_close(converter);
  ::mallopt(M_ARENA_MAX, 1);
}

Result<> close_all_but(std::vector<int> keep) {
  keep.push_back(STDERR_FILENO);
  std::sort(keep.begin(), keep.end());
  unsigned first = 0;
  for (const int fd : keep) {
    const auto kept = static_cast<unsigned>(fd);
    if (kept > first && ::syscall(SYS_close_range, first, kept - 1, 0) < 0)
      return sys_error("close descriptors", "");
    first = std::max(first, kept + 1);
  }
  if (::syscall(SYS_close_range, first, ~0u, 0) < 0) return sys_error("close descriptors", "");
  return {};
}

Result<> check(int err, std::string_view action) {
  return err == 0 ? Result<>() : errno_error(err, action, "");
}

/// Keeps `caps` and nothing else. As nobody, with the file system ids of root when `root_files`:
/// then what is made belongs to root without a further call; with CAP_DAC_OVERRIDE and CAP_FOWNER
/// this gives nothing more.
Result<> drop_privilege(bool nobody, sys::CapMask caps, bool root_files) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return sys_error("clear ambient capabilities", "");
  TRY(check(sys::drop_bounding(0), "drop capabilities"));
  if (nobody) {
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return sys_error("keep capabilities", "");
    if (::setgroups(0, nullptr) < 0 || ::setresgid(kNobody, kNobody, kNobody) < 0 ||
        ::setresuid(kNobody, kNobody, kNobody) < 0)
      return sys_error("become user", "65534");
    TRY(check(sys::raise_effective(), "raise capabilities"));
    if (root_files) {
      ::setfsgid(0);
      ::setfsuid(0);
      if (::setfsuid(static_cast<uid_t>(-1)) != 0 || ::setfsgid(static_cast<gid_t>(-1)) != 0)
        return make_error(Code::kInternal, "privilege_kept", "set the file system ids: refused");
    }
  }
  return check(sys::set_capabilities(caps, caps, 0), "drop capabilities");
}

Result<> limit(int resource, rlim_t value, std::string_view name) {
  struct rlimit old{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &old) < 0)
    return sys_error("read limit", name);
  const rlim_t bound = std::min(value, old.rlim_max);
  const struct rlimit now{bound, bound};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &now) < 0)
    return sys_error("set limit", name);
  return {};
}

Result<> set_limits() {
  TRY(limit(RLIMIT_CORE, 0, "core"));
  TRY(limit(RLIMIT_FSIZE, rlim_t{64} << 30, "file size"));
  TRY(limit(RLIMIT_CPU, 3600, "CPU time"));
  TRY(limit(RLIMIT_NOFILE, 2048, "open files"));
#ifndef __SANITIZE_ADDRESS__
  // Libraries and stacks are most of it; what is resident is a few MiB.
  TRY(limit(RLIMIT_AS, rlim_t{1} << 30, "address space"));
#endif
  return {};
}

Result<> no_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return sys_error("set no_new_privs", "");
  // Nobody may trace it or look into /proc/PID/ of it, whatever their user id.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return sys_error("set undumpable", "");
  return {};
}

/// The root of a detached mount of `dir`, out of which no ".." leads. The mount lives as long as
/// the descriptor it was made with, which stays open to the process's end.
Result<Fd> detach(const std::string& dir, bool read_only, std::string_view name,
                  std::vector<int>& keep) {
  const sys::MountFlags flags{
      .read_only = read_only, .nosuid = true, .nodev = true, .noexec = true};
  Fd place = TRY(open_fd(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  Fd mount = TRY(sys::clone_mount(place.get(), name, sys::Below::kExclude));
  TRY(sys::set_flags(mount.get(), flags, name, sys::Below::kExclude));
  Fd root = TRY(open_at(mount.get(), ".", O_RDONLY | O_DIRECTORY));
  keep.push_back(root.get());
  keep.push_back(mount.release());
  return root;
}

Result<> go_to(int dir, std::string_view name) {
  return ::fchdir(dir) == 0 ? Result<>() : sys_error("enter directory", name);
}
Result<> make_root(int dir, std::string_view name) {
  TRY(go_to(dir, name));
  return ::chroot(".") == 0 ? Result<>() : sys_error("change root to", name);
}

/// New namespaces, of whose files only the three directories are left.
Result<> leave_host(const UnpackerSeal& seal, std::vector<int>& keep) {
  // Descriptors stay in the old mount namespace, where an ordinary user may not clone mounts. Root
  // and working directory are what a process takes along into a new one.
  TRY(make_root(seal.staging->get(), "staging"));
  TRY(go_to(seal.layers->get(), "layers"));
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0)
    return sys_error("make namespaces", "");
  Fd staging = TRY(detach("/", true, "staging", keep));
  // Without a tree to make there is nothing to write.
  Fd own = TRY(detach("/" + seal.own_name, seal.own_name.empty(), "staging", keep));
  Fd layers = TRY(detach(".", true, "layers", keep));
  TRY(make_root(own.get(), "staging"));
  *seal.staging = std::move(staging);
  *seal.own = std::move(own);
  *seal.layers = std::move(layers);
  return {};
}

/// Rules that forbid all that this kernel's Landlock can forbid.
Result<sys::Landlock> landlock_rules(bool keep_network) {
  const int abi = TRY(sys::landlock_abi());
  return sys::Landlock::create({.forbid_tcp = !keep_network && abi >= 4, .forbid_scope = abi >= 6});
}

/// The parent's end is ours; a change of ids has cleared what was said before.
Result<> die_with_parent() {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 ? Result<>()
                                                          : sys_error("set death signal", "");
}

/// What name resolution, TLS and the libraries behind them read. Absent ones are passed over.
constexpr std::array<const char*, 18> kHostFiles = {"/etc/resolv.conf",
                                                    "/run/systemd/resolve",
                                                    "/etc/hosts",
                                                    "/etc/nsswitch.conf",
                                                    "/etc/host.conf",
                                                    "/etc/gai.conf",
                                                    "/etc/services",
                                                    "/etc/protocols",
                                                    "/etc/ssl",
                                                    "/etc/pki",
                                                    "/etc/ca-certificates",
                                                    "/usr/share/ca-certificates",
                                                    "/usr/local/share/ca-certificates",
                                                    "/etc/ld.so.cache",
                                                    "/usr/lib",
                                                    "/usr/lib64",
                                                    "/dev/urandom",
                                                    "/dev/null"};

Result<> allow_all(sys::Landlock& rules, const SourceSeal& seal) {
  for (const char* path :
       seal.network ? std::span<const char* const>(kHostFiles) : std::span<const char* const>())
    if (const Fd fd{::open(path, O_PATH | O_CLOEXEC)}; fd)
      TRY(rules.allow(fd.get(), sys::fs_access::kRead, path));
  for (const int fd : seal.read) TRY(rules.allow(fd, sys::fs_access::kRead, "source"));
  using namespace sys::fs_access;
  for (const int fd : seal.read_write)
    TRY(rules.allow(fd, kRead | kWriteFile | kMakeReg | kRemoveFile | kTruncate, "partial"));
  return {};
}

}  // namespace

Result<> seal_unpacker(const UnpackerSeal& seal) {
  load_lazy_parts();
  ::umask(0);
  std::vector<int> keep = seal.keep;
  TRY(leave_host(seal, keep));
  TRY(close_all_but(keep));
  sys::Landlock rules = TRY(landlock_rules(false));
  TRY(rules.allow(seal.own->get(), sys::fs_access::kReadWrite, "staging"));
  TRY(rules.allow(seal.staging->get(), sys::fs_access::kRead, "staging"));
  TRY(rules.allow(seal.layers->get(), sys::fs_access::kRead, "layers"));
  TRY(set_limits());
  TRY(drop_privilege(seal.nobody, kUnpackerCaps, seal.nobody));
  TRY(no_new_privileges());
  TRY(die_with_parent());
  TRY(rules.restrict_self());
  return install_unpacker_filter();
}

Result<> seal_source(const SourceSeal& seal) {
  load_lazy_parts();
  sys::Landlock rules = TRY(landlock_rules(true));
  TRY(allow_all(rules, seal));
  TRY(limit(RLIMIT_CORE, 0, "core"));
  const sys::CapMask caps = seal.read_anywhere ? sys::cap_bit(CAP_DAC_READ_SEARCH) : 0;
  TRY(drop_privilege(seal.nobody, caps, false));
  TRY(no_new_privileges());
  TRY(die_with_parent());
  TRY(rules.restrict_self());
  TRY(close_all_but(seal.keep));
  return install_source_filter(seal.network);
}

}  // namespace caisson::fetch
