#include "sys/userns.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>

#include "base/scope_exit.h"
#include "base/subprocess.h"

namespace caisson::sys {

UsernsSwitches userns_switches() {
  const auto is = [](const char* path, char value) {
    Result<std::string> text = read_file(path);
    return text && !text->empty() && text->front() == value;
  };
  return {is("/proc/sys/kernel/unprivileged_userns_clone", '0'),
          is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'),
          is("/sys/module/apparmor/parameters/enabled", 'Y'),
          is("/proc/sys/user/max_user_namespaces", '0')};
}

namespace {

std::string map_text(const std::vector<IdRange>& ranges) {
  std::string text;
  for (const IdRange& r : ranges) text += format("{} {} {}\n", r.inside, r.outside, r.count);
  return text;
}

Result<> write_map(const std::string& path, const std::string& text) {
  Fd fd = TRY(open_fd(path, O_WRONLY));
  return write_all(fd.get(), text, path);
}

struct Owner {
  uid_t uid;
  gid_t gid;
};
/// What the helper tells: an errno for each namespace, 0 for one that is made.
struct Made {
  int network = 0, user = 0;
};

/// Runs in the helper: makes the namespaces, and waits to be read and killed.
[[noreturn]] void hold_namespaces(pid_t parent, int owner_pipe, int report) {
  Made made;
  if (::unshare(CLONE_NEWNET) < 0) made.network = errno;
  Owner owner{};
  if (::read(owner_pipe, &owner, sizeof owner) != static_cast<ssize_t>(sizeof owner)) ::_exit(1);
  // Without the fixup a change of uid keeps the capabilities, which unshare may need where
  // unprivileged user namespaces are forbidden.
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0 ||
      ::syscall(SYS_setresgid, owner.gid, owner.gid, owner.gid) < 0 ||
      ::syscall(SYS_setresuid, owner.uid, owner.uid, owner.uid) < 0 || ::unshare(CLONE_NEWUSER) < 0)
    made.user = errno;
  // A change of ids makes the process undumpable, and its /proc files root's; it also clears the
  // parent-death signal, prctl(2). A parent that died before sends none.
  ::prctl(PR_SET_DUMPABLE, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  [[maybe_unused]] const ssize_t n = ::write(report, &made, sizeof made);
  for (;;) ::pause();
}

Error userns_forbidden(Error error) {
  error.reason = "user_namespace_forbidden";
  error.code = Code::kPermissionDenied;
  error.hint = userns_hint(error.sys_errno, userns_switches());
  return error;
}

Error userns_error(int err) {
  return userns_forbidden(errno_error(err, "create user namespace", ""));
}

/// Starts `program pid inside outside count ...`.
Result<> run_map_tool(const char* program, pid_t pid, const std::vector<IdRange>& ranges) {
  std::vector<std::string> argv = {program, std::to_string(pid)};
  for (const IdRange& r : ranges)
    for (std::uint32_t v : {r.inside, r.outside, r.count}) argv.push_back(std::to_string(v));
  return run(argv);
}

}  // namespace

int try_user_namespace() noexcept {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) ::_exit(::unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

std::string userns_hint(int err, const UsernsSwitches& switches) {
  switch (err) {
    case EPERM:
    case EACCES:
      if (switches.clone_forbidden) return "set sysctl kernel.unprivileged_userns_clone=1";
      if (switches.apparmor_restricts)
        return "set sysctl kernel.apparmor_restrict_unprivileged_userns=0 or give caisson-shim "
               "an AppArmor profile with the rule 'userns,'";
      return err == EACCES ? "a security module such as SELinux or AppArmor forbids it"
                           : "a seccomp filter or security module of the surrounding container "
                             "forbids unshare(CLONE_NEWUSER), or this is a chroot";
    case ENOSPC:
    case EUSERS:  // before Linux 4.9
      return "raise sysctl user.max_user_namespaces, in surrounding containers too; user "
             "namespaces nest 32 deep at most";
    case EINVAL:
      return "this kernel was built without CONFIG_USER_NS";
    default:
      return {};
  }
}

Result<NewNamespaces> NewNamespaces::begin() {
  Pipe owner = TRY(make_pipe());
  Pipe ready = TRY(make_pipe());
  const pid_t self = ::getpid();
  const pid_t helper = ::fork();
  if (helper < 0) return sys_error("fork helper for namespaces", "");
  if (helper == 0) {
    owner.write.reset();  // or the end of our parent would go unnoticed
    hold_namespaces(self, owner.read.get(), ready.write.get());
  }
  return NewNamespaces(helper, std::move(owner.write), std::move(ready.read));
}

NewNamespaces::~NewNamespaces() {
  if (helper_ <= 0) return;
  ::kill(helper_, SIGKILL);
  while (::waitpid(helper_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<> NewNamespaces::set_owner(uid_t uid, gid_t gid) const {
  const Owner owner{uid, gid};
  return write_all(owner_.get(), {reinterpret_cast<const char*>(&owner), sizeof owner},
                   "helper for namespaces");
}

Result<Namespaces> NewNamespaces::finish(const IdMap& map) {
  Made made;
  if (::read(ready_.get(), &made, sizeof made) != static_cast<ssize_t>(sizeof made))
    made.user = EPIPE;
  if (made.user != 0) return userns_error(made.user);
  if (made.network != 0) return errno_error(made.network, "create network namespace", "");
  const std::string proc = format("/proc/{}/", helper_);
  TRY(write_map(proc + "uid_map", map_text(map.uids)));
  TRY(write_map(proc + "gid_map", map_text(map.gids)));
  Namespaces made_ones{TRY(open_fd(proc + "ns/user", O_RDONLY)),
                       TRY(open_fd(proc + "ns/net", O_RDONLY))};
  ::kill(helper_, SIGKILL);  // reaped at the end, when nobody waits for it
  return made_ones;
}

Result<Fd> make_user_namespace(const IdMap& map) {
  Pipe ready = TRY(make_pipe());
  const pid_t helper = ::fork();
  if (helper < 0) return sys_error("fork helper for namespaces", "");
  if (helper == 0) {
    // Its number in this /proc, which may be another pid namespace's.
    char name[32]{};
    const ssize_t n = ::readlink("/proc/self", name, sizeof name - 1);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (n <= 0 || ::unshare(CLONE_NEWUSER) < 0 || ::prctl(PR_SET_DUMPABLE, 1) < 0) ::_exit(1);
    [[maybe_unused]] const ssize_t sent = ::write(ready.write.get(), name, sizeof name);
    for (;;) ::pause();
  }
  ScopeExit reap([helper] {
    ::kill(helper, SIGKILL);
    while (::waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
    }
  });
  ready.write.reset();
  char name[32]{};
  if (::read(ready.read.get(), name, sizeof name) != static_cast<ssize_t>(sizeof name))
    return userns_error(EPERM);
  const std::string proc = format("/proc/{}/", name);
  TRY(write_map(proc + "uid_map", map_text(map.uids)));
  TRY(write_map(proc + "gid_map", map_text(map.gids)));
  return open_fd(proc + "ns/user", O_RDONLY);
}

std::vector<IdRange> subordinate_ids(std::string_view file, std::string_view user, uid_t uid) {
  std::vector<IdRange> ranges;
  const std::string number = std::to_string(uid);
  while (!file.empty()) {
    const auto end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    const auto first = line.find(':');
    const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view who = line.substr(0, first);
    if (who.empty() || (who != user && who != number)) continue;
    IdRange range;
    const char* stop = line.data() + line.size();
    const auto a = std::from_chars(line.data() + first + 1, stop, range.outside);
    const auto b = std::from_chars(line.data() + second + 1, stop, range.count);
    if (a.ec == std::errc() && b.ec == std::errc() && range.count > 0) ranges.push_back(range);
  }
  return ranges;
}

namespace {

/// Our id is 0 inside; subordinate ids follow from 1.
std::vector<IdRange> with_subordinates(std::uint32_t own, const std::vector<IdRange>& ranges) {
  std::vector<IdRange> map = {{0, own, 1}};
  std::uint32_t next = 1;
  for (const IdRange& r : ranges) {
    const std::uint32_t count = std::min(r.count, kIdsPerBox - next);
    if (count == 0) break;
    map.push_back({next, r.outside, count});
    next += count;
  }
  return map;
}

/// newuidmap has to run outside of the namespace that it fills: a child does it, told by a byte.
Result<> enter_with_map_tools(const std::vector<IdRange>& uids, const std::vector<IdRange>& gids) {
  const pid_t self = ::getpid();
  Pipe go = TRY(make_pipe());
  Pipe done = TRY(make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return sys_error("fork helper for id maps", "");
  if (child == 0) {
    go.write.reset();
    done.read.reset();
    char byte = 0;
    if (::read(go.read.get(), &byte, 1) != 1) ::_exit(1);
    Result<> result = run_map_tool("/usr/bin/newuidmap", self, uids);
    if (result) result = run_map_tool("/usr/bin/newgidmap", self, gids);
    const std::string text = result ? "" : result.error().message;
    [[maybe_unused]] Result<> told = write_all(done.write.get(), text, "report");
    ::_exit(result ? 0 : 1);
  }
  go.read.reset();
  done.write.reset();
  ScopeExit reap([&] {
    go.write.reset();
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  });
  if (::unshare(CLONE_NEWUSER) < 0) return userns_error(errno);
  TRY(write_all(go.write.get(), "x", "helper for id maps"));
  const std::string failure = TRY(read_all(done.read.get(), 65536, "helper for id maps"));
  if (!failure.empty())
    return make_error(Code::kFailedPrecondition, "id_map_failed",
                      format("map subordinate ids: {}", failure),
                      "install the package uidmap and check /etc/subuid and /etc/subgid");
  return {};
}

}  // namespace

Result<> enter_outer_namespace(const std::vector<IdRange>& subuids,
                               const std::vector<IdRange>& subgids) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (!subuids.empty() && !subgids.empty()) {
    TRY(enter_with_map_tools(with_subordinates(uid, subuids), with_subordinates(gid, subgids)));
  } else {
    if (::unshare(CLONE_NEWUSER) < 0) return userns_error(errno);
    Result<> mapped = write_map("/proc/self/setgroups", "deny");
    if (mapped) mapped = write_map("/proc/self/uid_map", map_text({{0, uid, 1}}));
    if (mapped) mapped = write_map("/proc/self/gid_map", map_text({{0, gid, 1}}));
    // AppArmor lets the namespace be made, and denies the capabilities in it.
    if (!mapped && (mapped.error().sys_errno == EPERM || mapped.error().sys_errno == EACCES))
      return userns_forbidden(mapped.error());
    return mapped;
  }
  return {};
}

std::vector<IdRange> same_ids(const std::vector<IdRange>& subordinates, std::uint32_t count) {
  std::vector<IdRange> lines;
  for (const IdRange& r : with_subordinates(0, subordinates)) {
    if (r.inside >= count) break;
    lines.push_back({r.inside, r.inside, std::min(r.count, count - r.inside)});
  }
  return lines;
}

Result<ClaimedRange> claim_id_range(const std::string& lock_file, std::uint32_t preferred) {
  // One byte of the file stands for one range; open-file-description locks (fcntl(2)) go with
  // the last descriptor, so a crash frees the range and nothing has to be recovered.
  constexpr std::uint32_t kFirst = 0x70000000, kRanges = 4096;
  ClaimedRange claim{TRY(open_fd(lock_file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)), 0};
  for (std::uint32_t i = 0; i < kRanges; ++i) {
    const std::uint32_t slot = (preferred + i) % kRanges;
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = slot;
    lock.l_len = 1;
    if (::fcntl(claim.lock.get(), F_OFD_SETLK, &lock) == 0) {
      claim.first = kFirst + slot * kIdsPerBox;
      return claim;
    }
    if (errno != EAGAIN && errno != EACCES) return sys_error("lock id range in", lock_file);
  }
  return make_error(Code::kResourceExhausted, "id_ranges_exhausted",
                    format("claim id range in '{}': all {} are in use", lock_file, kRanges));
}

}  // namespace caisson::sys
