#include "caisson/profile.h"

#include <array>

#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson {
namespace {

/// Docker's default set: https://docs.docker.com/engine/containers/run/, "Runtime privilege".
constexpr std::array<std::string_view, 14> kDocker = {
    "CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER",      "CAP_FSETID",           "CAP_KILL",
    "CAP_SETGID",     "CAP_SETUID",       "CAP_SETPCAP",     "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",
    "CAP_SYS_CHROOT", "CAP_MKNOD",        "CAP_AUDIT_WRITE", "CAP_SETFCAP"};

/// What runs on the host with the rights of who works in the directory: git's hooks, and what
/// git's configuration names; the settings of editors and agents, which name commands too.
constexpr std::array<std::string_view, 11> kProtected = {".git/hooks/",
                                                         ".git/config",
                                                         ".git/config.worktree",
                                                         ".git/modules/",
                                                         ".mcp.json",
                                                         ".claude/settings.json",
                                                         ".codex/config.toml",
                                                         ".cursor/mcp.json",
                                                         ".gemini/settings.json",
                                                         ".vscode/tasks.json",
                                                         ".vscode/settings.json"};

constexpr std::uint64_t kMiB = 1u << 20;

Limits limits(std::uint64_t pids, std::uint64_t tmpfs_bytes) {
  Limits limits;
  limits.pids = pids;
  limits.tmpfs_bytes = tmpfs_bytes;
  return limits;
}

}  // namespace

std::span<const ProfileInfo> profiles() {
  static const std::array<ProfileInfo, 3> kAll = {{
      {.profile = Profile::kMinimal,
       .about = "code that only computes: a read-only root, no capability",
       .read_only_root = true,
       .seccomp = "minimal",
       .limits = limits(512, 256 * kMiB),
       .protect = kProtected},
      {.profile = Profile::kStandard,
       .about = "what images expect: a root that can be written, docker's capabilities",
       .capabilities = kDocker,
       .seccomp = "standard",
       .limits = limits(4096, 1024 * kMiB),
       .protect = kProtected},
      {.profile = Profile::kFull,
       .about = "a machine to work in: set-id programs and debuggers work",
       .capabilities = kDocker,
       .no_new_privileges = false,
       .seccomp = "full",
       .limits = limits(4096, 1024 * kMiB)},
  }};
  return kAll;
}

const ProfileInfo& profile_info(Profile profile) {
  for (const ProfileInfo& info : profiles())
    if (info.profile == profile) return info;
  return profiles()[1];
}

std::string to_json(const ProfileInfo& info) {
  nlohmann::json object;
  object["name"] = to_string(info.profile);
  object["about"] = info.about;
  object["read_only_root"] = info.read_only_root;
  object["capabilities"] = info.capabilities;
  object["no_new_privileges"] = info.no_new_privileges;
  object["seccomp"] = info.seccomp;
  object["network"] = to_string(info.network);
  object["limits"] = spec::encode(info.limits);
  object["protect"] = info.protect;
  return object.dump();
}

}  // namespace caisson
