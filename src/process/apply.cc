#include "process/apply.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/capabilities.h"
#include "sys/cgroup.h"
#include "sys/dir.h"
#include "sys/process.h"

namespace caisson::process {

Result<> ProcessWorld::make_rules() {
  const Plan& plan = *options_.plan;
  if (!plan.landlock) return {};
  rules_.emplace(TRY(sys::Landlock::create(plan.options)));
  unsigned number = 0;
  for (const AllowedPath& allowed : plan.paths) {
    if (++number == options_.fail_at)
      return make_error(Code::kInternal, "fault_injected",
                        format("set up box: allow '{}': fault injected", allowed.path));
    // The box may have been able to change what leads there, in an earlier run.
    Result<Fd> fd =
        allowed.asked ? sys::open_real(allowed.path, O_PATH) : open_fd(allowed.path, O_PATH);
    if (!fd && allowed.optional) continue;
    if (!fd) {
      Error error = fd.error();
      error.message =
          format("set up box: allow path '{}': {}", allowed.path, errno_text(error.sys_errno));
      error.reason = "access_path_missing";
      if (error.sys_errno == ELOOP) error.hint = "it has become a symbolic link; make the box anew";
      return error;
    }
    TRY(rules_->allow(fd->get(), allowed.access, allowed.path));
    if (plan.confined && (allowed.access & sys::fs_access::kMakeReg) != 0)
      TRY(attributes_.allow(fd->get()));
  }
  for (std::uint16_t port : plan.connect_ports) TRY(rules_->allow_connect(port));
  for (std::uint16_t port : plan.bind_ports) TRY(rules_->allow_bind(port));
  return {};
}

Result<init::World::Built> ProcessWorld::build() {
  if (const int err = sys::join_cgroups(options_.cgroups.data(), options_.cgroups.size()); err != 0)
    return errno_error(err, "join cgroups", "");
  // Whatever loses its parent becomes our child, and is reaped and ended with the box.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return sys_error("become a subreaper", "");
  TRY(make_rules());
  if (options_.plan->confined) TRY(attributes_.open());
  return Built{
      TRY(open_fd("/", O_PATH | O_DIRECTORY)), TRY(open_fd("/dev/pts", O_PATH | O_DIRECTORY)), {}};
}

/// Init itself stays free of Landlock, because it signals what it has started; it has nothing else
/// that a process of the same user does not have.
Result<> ProcessWorld::seal() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS &&
      errno != EDQUOT && errno != EPERM)
    return sys_error("create session keyring", "");
  if (options_.plan->no_new_privileges) {
    if (options_.root)
      if (const int err = sys::drop_bounding(0); err != 0)
        return errno_error(err, "drop the bounding set", "");
    // CAP_KILL goes too: root's init and root's processes have the same id.
    if (const int err = sys::set_capabilities(0, 0, 0); err != 0)
      return errno_error(err, "drop capabilities", "");
  }
  if (::prctl(PR_SET_DUMPABLE, 0) < 0) return sys_error("harden init", "");
  return {};
}

init::ExecContext ProcessWorld::context() const {
  return {.landlock = rules_ ? rules_->fd() : -1,
          .seccomp = options_.seccomp,
          .service = &options_.service,
          .listener = attributes_.theirs(),
          .trial = options_.trial};
}

void ProcessWorld::signal_all(int number) { sys::signal_descendants(::getpid(), number); }

}  // namespace caisson::process
