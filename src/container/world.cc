#include "container/world.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace caisson::container {
namespace {

/// From here on this process has no more rights than the box's root, and cannot be inspected by it.
Result<> give_up_privileges(const Ids& ids) {
  ::prctl(PR_SET_KEEPCAPS, 0);
  const uid_t uid = ids.root_uid();
  const gid_t gid = ids.root_gid();
  if (uid != 0 || gid != 0) {
    if (::syscall(SYS_setgroups, 0, nullptr) < 0) return sys_error("clear groups", "");
    if (::syscall(SYS_setresgid, gid, gid, gid) < 0) return sys_error("set group id", "");
    if (::syscall(SYS_setresuid, uid, uid, uid) < 0) return sys_error("set user id", "");
  }
  // Its own session keyring, so that nothing in the box can possess the caller's keys.
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS &&
      errno != EDQUOT && errno != EPERM)
    return sys_error("create session keyring", "");
  if (const int err = sys::set_capabilities(0, 0, 0); err != 0)
    return errno_error(err, "drop capabilities", "");
  // A change of credentials clears the parent-death signal, prctl(2): it is set last.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::prctl(PR_SET_DUMPABLE, 0) < 0)
    return sys_error("harden init", "");
  return {};
}

}  // namespace

Result<init::World::Built> ContainerWorld::build() {
  // Until the box is sealed a parent's death may go unnoticed where the set-up changes ids, which
  // clears this (prctl(2)); then the loop sees the end of the control socket.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (options_.network >= 0 && ::setns(options_.network, CLONE_NEWNET) < 0)
    return sys_error("join network namespace", "");
  Apply apply(*options_.plan, options_.cgroups, options_.userns);
  TRY(apply.run(options_.fail_at));
  Built built{TRY(duplicate(apply.root().fd())), {}, apply.warnings()};
  built.terminals = TRY(apply.root().open_at("/dev/pts", O_PATH | O_DIRECTORY));
  return built;
}

/// Letting go of the host's tree makes the kernel wait.
Result<> ContainerWorld::seal() {
  TRY(sys::drop_old_root());
  return give_up_privileges(options_.plan->ids);
}

init::ExecContext ContainerWorld::context() const {
  return {.userns = options_.userns,
          .launcher = options_.launcher,
          .seccomp = options_.seccomp,
          .service = &options_.service,
          .trial = options_.trial};
}

void ContainerWorld::signal_all(int number) { ::kill(-1, number); }

}  // namespace caisson::container
