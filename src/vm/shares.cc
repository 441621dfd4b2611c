#include "vm/shares.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "container/container.h"
#include "guest/protocol.h"
#include "image/rootfs.h"
#include "init/users.h"
#include "spec/effective.h"
#include "sys/socket.h"

namespace caisson::vm {
namespace {

constexpr const char* kSocket = "share.sock";
constexpr const char* kLog = "share.log";

bool is_of_host(const Mount& mount) { return mount.type != MountType::kTmpfs; }

/// The innermost mount that has the path, or is there.
const Mount* holder(const BoxSpec& spec, const std::string& path) {
  const Mount* best = nullptr;
  for (const Mount& mount : spec.mounts) {
    const bool holds = path == mount.target || path.starts_with(mount.target + "/");
    if (holds && (best == nullptr || mount.target.size() > best->target.size())) best = &mount;
  }
  return best;
}

bool is_below_bind(const BoxSpec& spec, const std::string& path) {
  return std::ranges::any_of(spec.mounts, [&](const Mount& mount) {
    return is_of_host(mount) && path.starts_with(mount.target + "/");
  });
}

std::string in_tree(const std::string& path) { return kShareTree + path; }
std::string in_guest(const std::string& path) { return guest::kShare + path; }

/// virtiofsd asks for these, and gives up all others of its user namespace.
const std::set<std::string> kCapabilities = {"CHOWN",   "DAC_OVERRIDE", "FOWNER",     "FSETID",
                                             "SETGID",  "SETUID",       "SYS_CHROOT", "MKNOD",
                                             "SETFCAP", "SETPCAP"};

/// virtiofsd has a list of its own. It leaves its groups and ends where it may not: in a box with
/// one id only, setgroups(2), where they are the user's, as they are in a container. Elsewhere it
/// has none to leave.
constexpr const char* kPolicy = R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
  {"names": ["setgroups"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]})";

BoxSpec server_spec(const std::string& user) {
  BoxSpec server;
  server.source = "host:";
  server.profile = Profile::kMinimal;
  server.user = user;
  server.read_only_root = true;
  server.security.cap_add = kCapabilities;
  server.security.seccomp = SeccompMode::kCustom;
  server.security.seccomp_policy = kPolicy;
  server.limits.pids = 64;
  server.limits.memory_bytes = 512u << 20;
  server.allow_missing = {"pids", "memory"};
  return server;
}

Result<std::string> find_virtiofsd() {
  for (const char* path : {"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"})
    if (::access(path, X_OK) == 0) return std::string(path);
  return make_error(Code::kFailedPrecondition, "virtiofsd_missing",
                    "show the host's files to the guest: there is no virtiofsd here",
                    "install qemu-system-common or virtiofsd, or use --isolation container");
}

/// The file server is to say what it says somewhere.
Result<backend::Stdio> server_stdio(const std::string& data, Fd listener) {
  backend::Stdio stdio;
  stdio.in = std::move(listener);
  stdio.out = TRY(open_fd(data + "/" + kLog, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  stdio.err = TRY(duplicate(stdio.out.get()));
  return stdio;
}

std::string last_words(const std::string& data) {
  std::string text = read_file(data + "/" + kLog, 1 << 16).value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

/// A trial runs no program: its root may be empty, and who cannot have a virtiofsd can try a guest.
bool needs_shares(const backend::StartRequest& box) {
  return spec::shows_host_files(box.spec) && !(box.trial && box.spec.mounts.empty());
}

Shared share(const backend::StartRequest& box, const std::string& user) {
  Shared shared{server_spec(user), box.spec, {}, box.rootfs, {}};
  if (box.rootfs.disk.empty()) {
    shared.rootfs.lowers.clear();
    shared.rootfs.lower_parent.clear();
    for (std::size_t i = 0; i < box.rootfs.lowers.size(); ++i) {
      const std::string place = format("/lowers/{}", i);
      shared.shown.push_back({lower_path(box.rootfs, box.rootfs.lowers[i]), in_tree(place), true});
      shared.rootfs.lowers.push_back(in_guest(place));
    }
    for (const HostView& view : box.rootfs.views) {
      shared.shown.push_back({view.path, in_tree("/views" + view.path), false});
      shared.views.push_back(view.path);
    }
  }
  // Nested as in the box, so that what is protected is found where it is.
  const std::string mounts = "/mounts";
  for (Mount& mount : shared.guest.mounts) {
    // What a tmpfs covers of a bind, the guest's kernel is not to see either.
    if (!is_of_host(mount) && !is_below_bind(box.spec, mount.target)) continue;
    Mount served = mount;
    served.target = in_tree(mounts + mount.target);
    served.read_only = served.read_only || !is_of_host(mount);
    shared.server.mounts.push_back(std::move(served));
    if (!is_of_host(mount)) continue;
    mount.type = MountType::kBind;
    mount.source = in_guest(mounts + mount.target);
    mount.idmap = IdMapping::kOff;
  }
  shared.server.protect_defaults = box.spec.protect_defaults;
  shared.guest.protect_defaults = false;
  shared.guest.protect.clear();
  for (const std::string& path : box.spec.protect) {
    const Mount* mount = path.starts_with('/') ? holder(box.spec, path) : nullptr;
    if (!path.starts_with('/'))
      shared.server.protect.push_back(path);
    else if (mount != nullptr && is_of_host(*mount))
      shared.server.protect.push_back(in_tree(mounts + path));
    else
      shared.guest.protect.push_back(path);
  }
  return shared;
}

Result<std::string> user_by_numbers(const BoxSpec& spec, const Rootfs& rootfs) {
  // Each from the topmost layer that has it; what is no file there hides those below.
  const auto text_of = [&](const char* path) -> Result<std::string> {
    for (const std::string& lower : rootfs.lowers) {
      const sys::Dir root(TRY(open_fd(lower_path(rootfs, lower), O_PATH | O_DIRECTORY)));
      if (!root.open_at(path, O_PATH | O_NOFOLLOW)) continue;
      constexpr std::size_t kMost = 16u << 20;
      return root.read(path, kMost).value_or("");
    }
    return std::string();
  };
  const init::User user =
      TRY(init::resolve_user(spec.user, {}, TRY(text_of("etc/passwd")), TRY(text_of("etc/group"))));
  return format("{}:{}", user.uid, user.gid);
}

Result<std::unique_ptr<FileServer>> FileServer::start(Options options,
                                                      container::Preparation preparation) {
  const std::string program = TRY(find_virtiofsd());
  auto server = std::make_unique<FileServer>();
  const Fd data = TRY(open_fd(options.data, O_PATH | O_DIRECTORY));
  ::unlinkat(data.get(), kSocket, 0);
  Fd listener = TRY(sys::listen_at(data.get(), kSocket));
  server->socket_ = TRY(sys::connect_at(data.get(), kSocket));
  ::unlinkat(data.get(), kSocket, 0);
  TRY(set_nonblocking(listener.get(), false));
  server->data_ = options.data;
  server->sandbox_ = container::make_container(
      {options.id, std::move(options.spec), std::move(options.rootfs), options.data, options.cache},
      std::move(preparation));
  backend::Started started = TRY(server->sandbox_->start());
  server->warnings_ = std::move(started.warnings);
  backend::ProcessSpec process;
  process.argv = {
      program,
      "-f",
      "--fd=0",
      "--rlimit-nofile=0",
      "-o",
      format("source={},sandbox=chroot,xattr,announce_submounts,log_level=err", kShareTree)};
  process.workdir = "/";
  process.user = "0:0";
  TRY(server->sandbox_->spawn(backend::kMainProcess, process,
                              TRY(server_stdio(options.data, std::move(listener)))));
  return server;
}

Result<> FileServer::serves() {
  for (const backend::ProcessEvent& event : sandbox_->events()) {
    if (ended_ || event.kind == backend::ProcessEvent::Kind::kStarted) continue;
    if (event.error)
      ended_ = *event.error;
    else
      ended_ = make_error(Code::kUnavailable, "virtiofsd_failed",
                          format("show files to guest: virtiofsd ended with status {}: {}",
                                 event.status, last_words(data_)));
  }
  return ended_ ? Result<>(*ended_) : Result<>();
}

}  // namespace caisson::vm
