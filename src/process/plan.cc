#include "process/plan.h"

#include <algorithm>

namespace caisson::process {
namespace {

namespace access = sys::fs_access;

constexpr sys::FsAccess kRun = access::kRead | access::kExecute;
constexpr sys::FsAccess kWrite =
    access::kReadWrite & ~(access::kMakeChar | access::kMakeBlock | access::kMakeSock);
constexpr sys::FsAccess kDevice = access::kReadFile | access::kWriteFile | access::kIoctlDev;

/// What `host:` means here too: programs and libraries, and the public part of the configuration.
constexpr const char* kPrograms[] = {"/usr",   "/bin",   "/sbin",  "/lib",
                                     "/lib32", "/lib64", "/libx32"};
constexpr const char* kReadable[] = {
    "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/host.conf",
    "/etc/hostname", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/protocols", "/etc/services",
    "/etc/mime.types", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/os-release",
    "/etc/debian_version", "/etc/shells", "/etc/inputrc", "/etc/terminfo", "/etc/fonts",
    "/etc/python3", "/etc/perl", "/etc/java", "/etc/magic",
    // Of processes only what tells nothing about others; each has its own directory too.
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg",
    "/proc/version", "/proc/filesystems", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/ostype",
    "/proc/sys/kernel/version", "/proc/sys/kernel/ngroups_max", "/proc/sys/kernel/cap_last_cap",
    "/proc/sys/kernel/pid_max", "/proc/sys/kernel/random", "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage"};
constexpr const char* kDevices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                    "/dev/random", "/dev/urandom", "/dev/tty"};

constexpr int kTcpAbi = 4, kTruncateAbi = 3, kScopeAbi = 6, kReferAbi = 2;

Error needs_landlock(const Facts& facts, std::string_view what, int abi) {
  if (facts.landlock_abi == 0)
    return make_error(Code::kUnimplemented, "landlock_unavailable",
                      format("{}: {}", what, facts.landlock_missing), facts.landlock_hint);
  return make_error(
      Code::kUnimplemented, "landlock_unavailable",
      format("{}: this kernel has ABI {} of Landlock, it needs {}", what, facts.landlock_abi, abi));
}

void add_ours(Plan& plan, const auto& paths, sys::FsAccess what) {
  for (const auto& path : paths) plan.paths.push_back({path, what, true, false});
}
void add_asked(Plan& plan, const std::string& path, sys::FsAccess what) {
  plan.paths.push_back({path, what, false, true});
}

void add_asked(const BoxSpec& spec, Plan& plan) {
  for (const std::string& path : spec.access.read) add_asked(plan, path, access::kRead);
  for (const std::string& path : spec.access.write) add_asked(plan, path, kWrite);
  for (const std::string& path : spec.access.execute) add_asked(plan, path, kRun);
  for (const Mount& mount : spec.mounts)
    add_asked(plan, mount.target, mount.read_only ? access::kRead : kWrite);
  plan.connect_ports = spec.access.connect_ports;
  plan.bind_ports = spec.access.bind_ports;
}

Result<> add_tcp(const BoxSpec& spec, const Facts& facts, Plan& plan) {
  const bool ports = !plan.connect_ports.empty() || !plan.bind_ports.empty();
  if (spec.network == Network::kUnsafeHostNetwork && !ports) return {};
  if (facts.landlock_abi >= kTcpAbi)
    plan.options.forbid_tcp = true;
  else if (ports)
    return needs_landlock(facts, "allow single ports", kTcpAbi);
  return {};
}

/// Writable directories cannot have protected parts: what is granted is granted below.
void warn_of_protection(const BoxSpec& spec, Plan& plan) {
  const bool writes = !spec.access.write.empty() ||
                      std::ranges::any_of(spec.mounts, [](const Mount& m) { return !m.read_only; });
  if (writes && spec.protect_defaults.value_or(true))
    plan.warnings.emplace_back(
        "paths that the profile protects (.git/hooks, …) can be written below what --allow-write "
        "allows: this isolation cannot protect them");
}

Result<> confine(const BoxSpec& spec, const Facts& facts, Plan& plan) {
  if (facts.landlock_abi == 0) return needs_landlock(facts, "isolate a process", 1);
  plan.confined = plan.landlock = plan.no_new_privileges = true;
  add_ours(plan, kPrograms, kRun);
  add_ours(plan, kReadable, access::kRead);
  add_ours(plan, kDevices, kDevice);
  plan.paths.push_back({plan.workspace, kWrite | access::kExecute, false, false});
  add_asked(spec, plan);
  TRY(add_tcp(spec, facts, plan));
  if (facts.landlock_abi >= kScopeAbi)
    plan.options.forbid_scope = true;
  else
    plan.warnings.push_back(
        format("processes of the same user can be signalled: Landlock of this kernel has ABI {}, "
               "{} forbids it",
               facts.landlock_abi, kScopeAbi));
  if (facts.landlock_abi < kReferAbi)
    plan.warnings.emplace_back("files cannot be moved between directories: Landlock has ABI 1");
  plan.seccomp.internet = spec.network == Network::kUnsafeHostNetwork;
  plan.seccomp.tcp = !plan.connect_ports.empty() || !plan.bind_ports.empty();
  plan.seccomp.listens = !plan.bind_ports.empty();
  plan.seccomp.forbid_truncate = facts.landlock_abi < kTruncateAbi;
  warn_of_protection(spec, plan);
  return {};
}

/// Nothing but what is listed, if anything is; programs and libraries are never forbidden.
Result<> apply_policy(const BoxSpec& spec, const Facts& facts, Plan& plan) {
  add_asked(spec, plan);
  if (spec.access.empty() && spec.mounts.empty()) return {};
  if (facts.landlock_abi == 0) return needs_landlock(facts, "enforce allowed paths", 1);
  plan.landlock = plan.no_new_privileges = true;
  add_ours(plan, kPrograms, kRun);
  add_ours(plan, kReadable, access::kRead);
  add_ours(plan, kDevices, kDevice);
  plan.paths.push_back({plan.workspace, kWrite | access::kExecute, false, false});
  if (plan.connect_ports.empty() && plan.bind_ports.empty()) return {};
  return add_tcp(spec, facts, plan);
}

std::string text_of(sys::FsAccess what) {
  std::string text;
  if ((what & access::kReadFile) != 0) text += "read";
  if ((what & access::kWriteFile) != 0) text += " write";
  if ((what & access::kExecute) != 0) text += " execute";
  return text;
}

}  // namespace

Result<Plan> make_plan(const BoxSpec& spec, const Facts& facts, const std::string& data) {
  Plan plan;
  plan.workspace = data + "/workspace";
  if (spec.isolation == Isolation::kProcess)
    TRY(confine(spec, facts, plan));
  else
    TRY(apply_policy(spec, facts, plan));
  plan.options.most_abi = facts.landlock_abi;  // what was decided for one level holds on it
  for (AllowedPath& allowed : plan.paths)
    allowed.access &= sys::landlock_rights(facts.landlock_abi);
  return plan;
}

std::string describe(const Plan& plan) {
  std::string text = plan.confined ? "as the caller, without namespaces\n"
                                   : "as the caller, NOT ISOLATED from the host\n";
  if (plan.landlock) text += "landlock: everything is forbidden but\n";
  for (const AllowedPath& allowed : plan.paths)
    text += format("  {} {}{}\n", text_of(allowed.access), allowed.path,
                   allowed.optional ? " (if there)" : "");
  for (std::uint16_t port : plan.connect_ports) text += format("  connect to TCP port {}\n", port);
  for (std::uint16_t port : plan.bind_ports) text += format("  bind TCP port {}\n", port);
  if (plan.options.forbid_tcp) text += "landlock: other TCP ports are forbidden\n";
  if (plan.options.forbid_scope)
    text += "landlock: signals and abstract sockets outward are forbidden\n";
  text += format("no_new_privs: {}\n", plan.no_new_privileges ? "yes" : "no");
  for (const std::string& warning : plan.warnings) text += format("warning: {}\n", warning);
  return text;
}

}  // namespace caisson::process
