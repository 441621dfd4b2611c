#include "spec/effective.h"

#include <algorithm>
#include <set>

#include "base/capability_names.h"

namespace caisson::spec {
std::span<const std::string_view> all_capabilities() { return kCapabilityNames; }

std::string capability_name(std::string_view text) {
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return name == "ALL" || name.starts_with("CAP_") ? name : "CAP_" + name;
}

bool shows_host_files(const BoxSpec& spec) {
  return spec.source == "host:" || spec.source.starts_with("dir:") ||
         std::ranges::any_of(spec.mounts,
                             [](const Mount& mount) { return mount.type != MountType::kTmpfs; });
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
        for (std::string_view one : kCapabilityNames) act(std::string(one));
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
