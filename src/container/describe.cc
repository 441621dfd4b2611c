#include <linux/capability.h>

#include "container/plan.h"

namespace caisson::container {
namespace {

std::string text_of(sys::MountFlags flags) {
  std::string text = flags.read_only ? "ro" : "rw";
  if (flags.nosuid) text += ",nosuid";
  if (flags.nodev) text += ",nodev";
  if (flags.noexec) text += ",noexec";
  return text;
}

struct Describe {
  std::string operator()(const JoinCgroups&) const { return "join the box's cgroups"; }
  std::string operator()(const PrivateMounts&) const { return "make mounts private"; }
  std::string operator()(const MountRoot& s) const {
    std::string lowers;
    for (const std::string& lower : s.lowers)
      lowers += (lowers.empty() ? "" : ":") +
                (lower.starts_with('/') ? lower : s.lower_parent + "/" + lower);
    return format("mount root: overlay lower={} upper={}/{}{}", lowers, s.data, s.upper,
                  s.map_ids ? " idmapped" : "");
  }
  std::string operator()(const MountMerged& s) const {
    return format("mount root: {}/{}{}", s.data, s.name, s.map_ids ? " idmapped" : "");
  }
  std::string operator()(const MountBind& s) const {
    return format("bind {} on {} ({}{}{})", s.source, s.target, text_of(s.flags),
                  s.map_ids ? ",idmapped" : "", s.to_user == IdMapping::kOff ? "" : ",owner=user");
  }
  std::string operator()(const MountFs& s) const {
    std::string options;
    for (const auto& [key, value] : s.options)
      options += "," + (value.empty() ? key : key + "=" + value);
    return format("mount {} on {} ({}{})", s.type, s.target, text_of(s.flags), options);
  }
  std::string operator()(const DeviceNode& s) const {
    return format("device /dev/{} {}:{}{}", s.name, s.major, s.minor, s.bind ? " (bound)" : "");
  }
  std::string operator()(const MakeSymlink& s) const {
    return format("symlink {} -> {}", s.path, s.text);
  }
  std::string operator()(const MaskPath& s) const { return format("mask {}", s.path); }
  std::string operator()(const ReadOnlyPath& s) const { return format("read-only {}", s.path); }
  std::string operator()(const SetHostname& s) const { return format("hostname {}", s.name); }
  std::string operator()(const WriteSysctl& s) const {
    return format("sysctl {} = {}", s.name, s.value);
  }
  std::string operator()(const RaiseLoopback&) const { return "bring up lo"; }
  std::string operator()(const ProtectPath& s) const {
    return format("protect {}{}", s.what.path, s.what.placeholder ? " (absent)" : "");
  }
  std::string operator()(const ProtectInRoot& s) const { return format("protect {}", s.path); }
  std::string operator()(const KeepWritable& s) const { return format("keep writable {}", s.path); }
  std::string operator()(const ChangeRoot& s) const {
    return s.read_only ? "change root, read-only" : "change root";
  }
};

}  // namespace

std::string describe(const Step& step) { return std::visit(Describe{}, step); }

std::string describe(const Plan& plan) {
  std::string text = plan.facts.root
                         ? "as root of the host\n"
                         : format("as user {}, in an outer user namespace with {} ids\n",
                                  plan.facts.uid, plan.ids.count);
  text += format(
      "inner user namespace: {} {} {}{}\n", plan.ids.first_inside, plan.ids.first, plan.ids.count,
      plan.ids.swapped_uid == 0 ? "" : format(", 0 and {} swapped", plan.ids.swapped_uid));
  text += format("namespaces: pid mount ipc uts cgroup{}\n",
                 plan.network_namespace ? " net" : " (host network)");
  for (const Step& step : plan.steps) text += describe(step) + "\n";
  std::string caps;
  for (const std::string& name : sys::capability_names(plan.capabilities)) caps += " " + name;
  text += format("capabilities of root in the box:{}\n", caps.empty() ? " none" : caps);
  text += format("no_new_privs: {}\n", plan.no_new_privileges ? "yes" : "no");
  for (const std::string& warning : plan.warnings) text += format("warning: {}\n", warning);
  return text;
}

}  // namespace caisson::container
