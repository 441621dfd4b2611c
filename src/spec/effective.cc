#include "spec/effective.h"

#include <algorithm>
#include <array>
#include <set>

namespace caisson::spec {
namespace {

// linux/capability.h, Linux 5.9 and later.
constexpr std::array<std::string_view, 41> kCapabilities = {"CAP_CHOWN",
                                                            "CAP_DAC_OVERRIDE",
                                                            "CAP_DAC_READ_SEARCH",
                                                            "CAP_FOWNER",
                                                            "CAP_FSETID",
                                                            "CAP_KILL",
                                                            "CAP_SETGID",
                                                            "CAP_SETUID",
                                                            "CAP_SETPCAP",
                                                            "CAP_LINUX_IMMUTABLE",
                                                            "CAP_NET_BIND_SERVICE",
                                                            "CAP_NET_BROADCAST",
                                                            "CAP_NET_ADMIN",
                                                            "CAP_NET_RAW",
                                                            "CAP_IPC_LOCK",
                                                            "CAP_IPC_OWNER",
                                                            "CAP_SYS_MODULE",
                                                            "CAP_SYS_RAWIO",
                                                            "CAP_SYS_CHROOT",
                                                            "CAP_SYS_PTRACE",
                                                            "CAP_SYS_PACCT",
                                                            "CAP_SYS_ADMIN",
                                                            "CAP_SYS_BOOT",
                                                            "CAP_SYS_NICE",
                                                            "CAP_SYS_RESOURCE",
                                                            "CAP_SYS_TIME",
                                                            "CAP_SYS_TTY_CONFIG",
                                                            "CAP_MKNOD",
                                                            "CAP_LEASE",
                                                            "CAP_AUDIT_WRITE",
                                                            "CAP_AUDIT_CONTROL",
                                                            "CAP_SETFCAP",
                                                            "CAP_MAC_OVERRIDE",
                                                            "CAP_MAC_ADMIN",
                                                            "CAP_SYSLOG",
                                                            "CAP_WAKE_ALARM",
                                                            "CAP_BLOCK_SUSPEND",
                                                            "CAP_AUDIT_READ",
                                                            "CAP_PERFMON",
                                                            "CAP_BPF",
                                                            "CAP_CHECKPOINT_RESTORE"};

}  // namespace

std::span<const std::string_view> all_capabilities() { return kCapabilities; }

std::string capability_name(std::string_view text) {
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return name == "ALL" || name.starts_with("CAP_") ? name : "CAP_" + name;
}

Limits effective_limits(const BoxSpec& spec) {
  const Limits& given = profile_info(spec.profile).limits;
  Limits limits = spec.limits;
  if (!limits.pids) limits.pids = given.pids;
  if (!limits.tmpfs_bytes) limits.tmpfs_bytes = given.tmpfs_bytes;
  return limits;
}

bool effective_read_only_root(const BoxSpec& spec) {
  return spec.read_only_root.value_or(profile_info(spec.profile).read_only_root);
}

bool effective_no_new_privileges(const BoxSpec& spec) {
  return spec.security.no_new_privileges.value_or(profile_info(spec.profile).no_new_privileges);
}

std::vector<std::string> effective_capabilities(const BoxSpec& spec) {
  const auto given = profile_info(spec.profile).capabilities;
  std::set<std::string> wanted(given.begin(), given.end());
  const auto each = [](const std::set<std::string>& names, const auto& act) {
    for (const std::string& name : names)
      if (capability_name(name) == "ALL")
        for (std::string_view one : kCapabilities) act(std::string(one));
      else
        act(capability_name(name));
  };
  // docker's: what is named stays although all are dropped.
  if (std::ranges::count(spec.security.cap_drop, "ALL", capability_name) != 0) wanted.clear();
  each(spec.security.cap_add, [&](const std::string& name) { wanted.insert(name); });
  for (const std::string& name : spec.security.cap_drop)
    if (capability_name(name) != "ALL") wanted.erase(capability_name(name));
  return {wanted.begin(), wanted.end()};
}

std::vector<std::string> effective_protect(const BoxSpec& spec) {
  std::vector<std::string> paths = spec.protect;
  if (spec.protect_defaults.value_or(true))
    for (std::string_view path : profile_info(spec.profile).protect)
      if (std::ranges::count(paths, path) == 0) paths.emplace_back(path);
  return paths;
}

}  // namespace caisson::spec
