#include "sys/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "base/scope_exit.h"

namespace caisson::sys {
namespace {

constexpr const char* kParent = "/caisson";

Result<> check_id(const std::string& id) {
  if (id.empty() || id == "." || id == ".." || id.find('/') != std::string::npos)
    return make_error(Code::kInvalidArgument, "invalid_box_id",
                      format("create cgroup '{}': not a plain name", id));
  return {};
}

/// The controllers Caisson uses of a hierarchy; v1 blkio counts too little to be worth a group.
ControllerSet wanted(const CgroupHierarchy& hierarchy) {
  ControllerSet set = hierarchy.controllers;
  if (hierarchy.version == 1) set.remove(Controller::kIo);
  return set;
}

Result<> make_directory(const std::string& parent, const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  if (errno == ENOENT) {
    if (::mkdir(parent.c_str(), 0755) < 0 && errno != EEXIST)
      return sys_error("create cgroup", parent);
    if (::mkdir(path.c_str(), 0755) == 0) return {};
  }
  Error error = sys_error("create cgroup", path);
  if (error.sys_errno == EEXIST) error.reason = "cgroup_exists";
  return error;
}

/// What of the hierarchy's controllers really arrived in a group; the core features always do.
ControllerSet enabled_v2(const CgroupHierarchy& hierarchy, const ControlDir& dir) {
  const ControllerSet listed = parse_v2_controllers(dir.find("cgroup.controllers").value_or(""));
  ControllerSet set;
  for (Controller c : kAllControllers) {
    const bool core = c == Controller::kCpuacct || c == Controller::kFreezer;
    if (hierarchy.controllers.has(c) && (core || listed.has(c))) set.add(c);
  }
  return set;
}

/// Hands the missing controllers down from `base` to the boxes' groups. Returns the first cause
/// of failure, empty when all went well.
std::string enable_v2(const CgroupHierarchy& hierarchy, ControllerSet have) {
  std::string cause;
  for (const std::string& group : {hierarchy.base, hierarchy.base + kParent}) {
    auto dir = ControlDir::open(group);
    if (!dir) return dir.error().message;
    for (Controller c : kAllControllers) {
      if (!hierarchy.controllers.has(c) || have.has(c)) continue;
      auto written = dir->write("cgroup.subtree_control", format("+{}", to_string(c)));
      if (written || !cause.empty()) continue;
      cause = written.error().message;
      if (written.error().sys_errno == EBUSY)
        cause += " (processes live in that group; they must be moved to a group below it first)";
    }
  }
  return cause;
}

}  // namespace

Result<Cgroup::Group> Cgroup::make_group(const CgroupHierarchy& hierarchy, const std::string& id) {
  const std::string parent = hierarchy.base + kParent;
  std::string path = parent + "/" + id;
  TRY(make_directory(parent, path));
  ScopeExit undo([&, made = path] { ::rmdir(made.c_str()); });
  Group group{hierarchy.version, wanted(hierarchy), TRY(ControlDir::open(std::move(path))), {}, {}};
  if (group.version == 2) {
    group.controllers = enabled_v2(hierarchy, group.dir);
    if (group.controllers != hierarchy.controllers) {
      group.missing = enable_v2(hierarchy, group.controllers);
      group.controllers = enabled_v2(hierarchy, group.dir);
    }
  }
  undo.release();
  return group;
}

Result<Cgroup::Group> Cgroup::open_group(const CgroupHierarchy& hierarchy, const std::string& id) {
  Group group{hierarchy.version,
              wanted(hierarchy),
              TRY(ControlDir::open(hierarchy.base + kParent + "/" + id)),
              {},
              {}};
  if (group.version == 2) group.controllers = enabled_v2(hierarchy, group.dir);
  return group;
}

Result<Cgroup> Cgroup::create(const CgroupLayout& layout, const std::string& id,
                              const CgroupLimits& limits) {
  TRY(check_id(id));
  TRY(validate(limits));
  Cgroup cgroup(id, layout.host_has_swap);
  ScopeExit undo([&] {
    for (const Group& group : cgroup.groups_) ::rmdir(group.dir.path().c_str());
  });
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    if (hierarchy.base.empty() || wanted(hierarchy).empty()) continue;
    cgroup.groups_.push_back(TRY(make_group(hierarchy, id)));
  }
  TRY(cgroup.require(layout, limits));
  TRY(cgroup.apply(limits));
  undo.release();
  return cgroup;
}

Result<Cgroup> Cgroup::open(const CgroupLayout& layout, const std::string& id) {
  TRY(check_id(id));
  Cgroup cgroup(id, layout.host_has_swap);
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    if (hierarchy.base.empty() || wanted(hierarchy).empty()) continue;
    auto group = open_group(hierarchy, id);
    if (group)
      cgroup.groups_.push_back(std::move(*group));
    else if (group.error().sys_errno != ENOENT)
      return std::move(group).error();
  }
  if (cgroup.groups_.empty())
    return make_error(Code::kNotFound, "cgroup_not_found",
                      format("open cgroup '{}': no hierarchy has it", id));
  return cgroup;
}

const Cgroup::Group* Cgroup::find(Controller controller) const {
  for (const Group& group : groups_)
    if (group.controllers.has(controller)) return &group;
  return nullptr;
}

const Cgroup::Group* Cgroup::find_v2() const {
  for (const Group& group : groups_)
    if (group.version == 2) return &group;
  return nullptr;
}

std::vector<std::string> Cgroup::paths() const {
  std::vector<std::string> paths;
  for (const Group& group : groups_) paths.push_back(group.dir.path());
  return paths;
}

Result<std::vector<int>> Cgroup::join_fds(Join v2) {
  std::vector<int> fds;
  for (Group& group : groups_) {
    if (group.version == 2 && v2 == Join::kByClone) continue;
    if (!group.join)
      group.join =
          TRY(open_at(group.dir.fd(), group.version == 2 ? "cgroup.procs" : "tasks", O_WRONLY));
    fds.push_back(group.join.get());
  }
  return fds;
}

int Cgroup::clone_fd() const {
  const Group* group = find_v2();
  return group != nullptr ? group->dir.fd() : -1;
}

int join_cgroups(const int* fds, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    while (::write(fds[i], "0", 1) < 0)  // 0 = the writer
      if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace caisson::sys
