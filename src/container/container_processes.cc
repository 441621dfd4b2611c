// Processes of a running container: what they are made of.
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "container/container_impl.h"
#include "init/limits.h"
#include "sys/dir.h"
#include "sys/socket.h"

namespace caisson::container {

using backend::ProcessId;

namespace {

constexpr sys::CapMask kFileCapabilities =
    sys::cap_bit(CAP_CHOWN) | sys::cap_bit(CAP_DAC_OVERRIDE) | sys::cap_bit(CAP_DAC_READ_SEARCH) |
    sys::cap_bit(CAP_FOWNER) | sys::cap_bit(CAP_FSETID) | sys::cap_bit(CAP_SETFCAP);

}  // namespace

Result<init::User> Container::look_up(const std::string& user,
                                      const std::vector<std::string>& groups) const {
  Fd copy = TRY(duplicate(root()));
  init::User found = TRY(init::resolve_user(user, groups, sys::Dir(std::move(copy))));
  const auto outside = [&](std::uint32_t id) {
    return id < plan_.ids.first_inside || id - plan_.ids.first_inside >= plan_.ids.count;
  };
  for (std::uint32_t id : {found.uid, plan_.ids.count == 1 ? found.uid : found.gid})
    if (outside(id))
      return make_error(
          Code::kFailedPrecondition, "ids_unavailable",
          format("run as user '{}': id {} is outside of the box's {} ids", user, id,
                 plan_.ids.count),
          plan_.facts.root ? "" : "add ranges for the user to /etc/subuid and /etc/subgid");
  if (plan_.ids.count == 1) {
    found.gid = plan_.ids.first_inside;
    found.groups.clear();
  }
  std::erase_if(found.groups, outside);
  return found;
}

Result<init::ProcessImage> Container::image_of(const backend::ProcessSpec& spec) const {
  const init::User user = TRY(look_up(spec.user, spec.groups));
  init::ProcessImage image;
  std::map<std::string, std::string> env = spec.env;
  env.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  env.try_emplace("HOME", user.home);
  if (spec.terminal) env.try_emplace("TERM", "xterm");
  for (const auto& [key, value] : env) image.env.push_back(key + "=" + value);
  image.argv = spec.argv;
  image.candidates = init::search_path(spec.argv[0], env["PATH"]);
  image.workdir = spec.workdir;
  image.uid = user.uid;
  image.gid = user.gid;
  image.groups = user.groups;
  image.set_groups = plan_.ids.count > 1 || plan_.facts.root;
  image.capabilities = user.uid == 0 ? plan_.capabilities : 0;
  image.bounding = plan_.capabilities;
  image.no_new_privileges = plan_.no_new_privileges;
  image.terminal = spec.terminal;
  image.attacks = spec.attacks;
  const std::string& without = options_.trial.without;
  image.leaks = without == "descriptors";
  image.unfiltered = without == "system_calls";
  if (without == "privileges") image.no_new_privileges = false;
  image.limits = process_limits();
  return image;
}

Result<> Container::spawn(ProcessId id, const backend::ProcessSpec& spec, backend::Stdio stdio) {
  return spawn_image(id, TRY(image_of(spec)), std::move(stdio));
}

files::ServiceOptions Container::service_options() const {
  files::ServiceOptions options{plan_.ids.first_inside, plan_.ids.first_inside, {}};
  if (!options_.at_rest) return options;
  for (const Step& step : plan_.steps)
    if (const auto* mount = std::get_if<MountFs>(&step)) options.in_memory.push_back(mount->target);
  return options;
}

/// It has the rights over files that root in the box has under docker's set, whatever the profile
/// gives: an operation on files must not depend on it. A filter of the caller's own is made for the
/// box's programs, not for this one.
Result<> Container::serve_files(ProcessId id, Fd socket) {
  init::ProcessImage image;
  image.argv = {"caisson-files"};
  image.workdir = "/";
  image.uid = image.gid = plan_.ids.first_inside;
  image.set_groups = plan_.ids.count > 1 || plan_.facts.root;
  image.capabilities = image.bounding = kFileCapabilities;
  image.unfiltered = this->spec().security.seccomp == SeccompMode::kCustom;
  image.serves_files = true;
  image.limits = process_limits();
  backend::Stdio stdio{std::move(socket), TRY(open_fd("/dev/null", O_WRONLY)),
                       TRY(open_fd("/dev/null", O_WRONLY))};
  return spawn_image(id, image, std::move(stdio));
}

Result<backend::Terminal> Container::open_terminal(const std::string& user) {
  const init::User owner = TRY(look_up(user, {}));
  Fd master = TRY(open_at(terminals(), "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0) return sys_error("unlock terminal", "");
  // By descriptor: the name could be a trap of the box's (TIOCGPTPEER, ioctl_tty(2)).
  Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return sys_error("open terminal", "");
  const uid_t uid = plan_.ids.uid_outside(owner.uid);
  if (::fchown(slave.get(), uid, static_cast<gid_t>(-1)) < 0)
    return sys_error("give terminal to user", user);
  return backend::Terminal{std::move(master), std::move(slave)};
}

}  // namespace caisson::container
