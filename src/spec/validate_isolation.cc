// What each isolation can do of what a spec may ask for.
#include <algorithm>

#include "spec/checks.h"
#include "spec/effective.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

Error unsupported(const BoxSpec& spec, std::string_view what, std::string hint = {}) {
  return make_error(
      Code::kUnimplemented, "isolation_unsupported",
      format("validate {}: the isolation '{}' cannot have it", what, to_string(spec.isolation)),
      hint.empty() ? "use --isolation container" : std::move(hint));
}

Result<> check_access(const HostAccess& access) {
  for (const auto* paths : {&access.read, &access.write, &access.execute})
    for (const std::string& path : *paths) {
      TRY(check_no_nul("allowed path", path));
      if (!is_absolute(path) || has_parent_component(path))
        return invalid(
            "access_invalid",
            format("validate allowed path {}: not absolute and free of '..'", quote(path)));
    }
  for (const auto* ports : {&access.connect_ports, &access.bind_ports})
    if (std::ranges::count(*ports, 0) != 0)
      return invalid("access_invalid", "validate allowed port 0: ports are from 1 to 65535");
  return {};
}

/// What needs namespaces of a box's own.
Result<> check_without_namespaces(const BoxSpec& spec) {
  if (spec.source != "host:")
    return unsupported(
        spec, format("source {}", quote(spec.source)),
        "its files are the host's: use host: as the source, or --isolation container");
  if (!spec.user.empty() || !spec.groups.empty())
    return unsupported(spec, "user", "its processes have the caller's ids");
  if (!spec.hostname.empty()) return unsupported(spec, "hostname");
  if (spec.read_only_root.value_or(false))
    return unsupported(spec, "read-only root", "allow nothing to be written (--allow-write)");
  for (const Mount& mount : spec.mounts)
    if (mount.type != MountType::kBind ||
        (mount.source != mount.target && mount.source != mount.target + "/"))
      return unsupported(spec, format("mount at {}", quote(mount.target)),
                         "it sees paths of the host: --allow-read, --allow-write, --allow-exec");
  if (!spec.protect.empty())
    return unsupported(spec, "protected path",
                       "Landlock cannot take a path out of a directory that may be written");
  if (!spec.security.cap_add.empty()) return unsupported(spec, "capabilities");
  if (spec.security.seccomp != SeccompMode::kProfile)
    return unsupported(spec, "system call policy",
                       "the filter is a part of this isolation: choose a --profile");
  if (spec.security.no_new_privileges == false)
    return unsupported(spec, "privileges by exec", "Landlock needs no_new_privs");
  const Limits& limits = spec.limits;
  if (limits.disk_bytes) return unsupported(spec, "limit 'disk'");
  if (limits.tmpfs_bytes || limits.tmpfs_inodes) return unsupported(spec, "limit 'tmpfs'");
  return {};
}

/// What takes a machine.
Result<> check_without_machine(const BoxSpec& spec) {
  constexpr const char* kHint = "use --isolation microvm";
  if (!spec.machine.kernel.empty()) return unsupported(spec, "kernel", kHint);
  if (spec.machine.cold) return unsupported(spec, "cold start", kHint);
  if (spec.machine.ready_timeout) return unsupported(spec, "deadline for a guest", kHint);
  if (spec.limits.disk_bytes_per_second || spec.limits.disk_operations_per_second)
    return unsupported(spec, "limit of the disk's speed", kHint);
  return {};
}

/// What a guest cannot have from its host.
Result<> check_with_own_kernel(const BoxSpec& spec) {
  const std::string& kernel = spec.machine.kernel;
  TRY(check_no_nul("kernel", kernel));
  if (!kernel.empty() && !is_absolute(kernel))
    return invalid("kernel_invalid", format("validate kernel {}: not absolute", quote(kernel)));
  const auto time = spec.machine.ready_timeout;
  if (time && (time->count() <= 0 || *time > std::chrono::days(1)))
    return invalid("limit_invalid",
                   "validate limit 'ready_timeout': not longer than zero, or than a day");
  if (spec.network != Network::kNone)
    return unsupported(spec, "the host's network", "leave --network out");
  return {};
}

Result<> check_capabilities(const SecurityOptions& security) {
  for (const auto* names : {&security.cap_add, &security.cap_drop})
    for (const std::string& name : *names) {
      const std::string upper = capability_name(name);
      if (upper != "ALL" && std::ranges::count(all_capabilities(), upper) == 0)
        return invalid(
            "capability_unknown", format("validate capability {}: no such capability", quote(name)),
            suggest(upper, {all_capabilities().begin(), all_capabilities().end()}, "capabilities"));
    }
  return {};
}

}  // namespace

Result<> check_isolation(const BoxSpec& spec) {
  TRY(check_access(spec.access));
  TRY(check_capabilities(spec.security));
  for (const std::string& path : spec.protect) TRY(check_protected(path));
  if (spec.isolation != Isolation::kMicroVm) TRY(check_without_machine(spec));
  if (!has_own_root(spec.isolation)) return check_without_namespaces(spec);
  if (!spec.access.empty())
    return make_error(
        Code::kUnimplemented, "isolation_unsupported",
        format("validate allowed paths and ports: the isolation '{}' has a root of its own",
               to_string(spec.isolation)),
        "show it paths with --allow-ro, --allow-rw or -v, or use --isolation process");
  return spec.isolation == Isolation::kMicroVm ? check_with_own_kernel(spec) : Result<>();
}

}  // namespace caisson::spec
