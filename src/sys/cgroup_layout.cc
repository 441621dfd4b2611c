#include "sys/cgroup_layout.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace caisson::sys {
namespace {

std::string_view next_token(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  std::string_view token = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return token;
}

template <class F>
void for_each_token(std::string_view text, char separator, F&& use) {
  while (!text.empty()) use(next_token(text, separator));
}

bool octal(char c) { return c >= '0' && c <= '7'; }

/// The kernel writes space, tab, newline and backslash in mountinfo as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool lists(std::string_view options, std::string_view word) {
  bool found = false;
  for_each_token(options, ',', [&](std::string_view option) { found |= option == word; });
  return found;
}

std::optional<Controller> v1_controller(std::string_view name) {
  if (name == "blkio") return Controller::kIo;
  for (Controller c : kAllControllers)
    if (c != Controller::kIo && to_string(c) == name) return c;
  return std::nullopt;
}

struct CgroupMount {
  int version;
  std::string root, point, super_options;
  bool read_only;
};

/// One line of mountinfo: `id parent dev root point options [optional...] - type source super`.
std::optional<CgroupMount> parse_mount(std::string_view line) {
  const std::size_t separator = line.find(" - ");
  if (separator == std::string_view::npos) return std::nullopt;
  std::string_view tail = line.substr(separator + 3);
  const std::string_view type = next_token(tail, ' ');
  if (type != "cgroup" && type != "cgroup2") return std::nullopt;
  next_token(tail, ' ');  // the source, an arbitrary word
  std::string_view head = line.substr(0, separator);
  for (int skipped = 0; skipped < 3; ++skipped) next_token(head, ' ');
  std::string root = unescape(next_token(head, ' '));
  std::string point = unescape(next_token(head, ' '));
  const bool read_only = lists(next_token(head, ' '), "ro") || lists(tail, "ro");
  return CgroupMount{type == "cgroup2" ? 2 : 1, std::move(root), std::move(point),
                     std::string(tail), read_only};
}

/// Our group in the hierarchy that carries `key` ("" = v2), as /proc/self/cgroup says it.
std::optional<std::string> own_group(std::string_view proc_self_cgroup, std::string_view key) {
  std::optional<std::string> own;
  for_each_token(proc_self_cgroup, '\n', [&](std::string_view line) {
    next_token(line, ':');
    const std::string_view controllers = next_token(line, ':');
    if (key.empty() ? controllers.empty() : lists(controllers, key)) own = std::string(line);
  });
  return own;
}

/// `group` as a path below a mount that shows the subtree `root`. Both are relative to our cgroup
/// namespace; "/.." in them means outside of it, where names are unknown.
std::optional<std::string> below(const std::string& root, const std::string& group) {
  if (group.starts_with("/.."))
    return group == root ? std::optional<std::string>("") : std::nullopt;
  if (root == "/") return group == "/" ? "" : group;
  if (!group.starts_with(root)) return std::nullopt;
  std::string rest = group.substr(root.size());
  if (!rest.empty() && rest.front() != '/') return std::nullopt;
  return rest;
}

/// A hierarchy mounted twice is used where it shows the most; a later mount hides an earlier one
/// on the same point.
void add_hierarchy(std::vector<std::pair<CgroupMount, CgroupHierarchy>>& list, CgroupMount mount,
                   CgroupHierarchy hierarchy) {
  for (auto& [old_mount, old] : list) {
    if (old.version != hierarchy.version || old.controllers != hierarchy.controllers) continue;
    if (mount.root == "/" && (old_mount.root != "/" || old.mount == hierarchy.mount)) {
      old_mount = std::move(mount);
      old = std::move(hierarchy);
    }
    return;
  }
  list.emplace_back(std::move(mount), std::move(hierarchy));
}

}  // namespace

std::string_view to_string(Controller controller) {
  switch (controller) {
    case Controller::kMemory:
      return "memory";
    case Controller::kPids:
      return "pids";
    case Controller::kCpu:
      return "cpu";
    case Controller::kCpuacct:
      return "cpuacct";
    case Controller::kFreezer:
      return "freezer";
    case Controller::kIo:
      return "io";
  }
  return "unknown";
}

const CgroupHierarchy* CgroupLayout::find(Controller controller) const {
  for (const CgroupHierarchy& h : hierarchies)
    if (h.controllers.has(controller)) return &h;
  return nullptr;
}

bool CgroupLayout::usable(Controller controller) const {
  const CgroupHierarchy* hierarchy = find(controller);
  return hierarchy != nullptr && !hierarchy->base.empty();
}

std::string CgroupLayout::why_not(Controller controller) const {
  const CgroupHierarchy* hierarchy = find(controller);
  if (hierarchy == nullptr)
    return format("this host has no {} cgroup controller", to_string(controller));
  return hierarchy->unusable;
}

ControllerSet parse_v2_controllers(std::string_view names) {
  ControllerSet set;
  for_each_token(names, '\n', [&](std::string_view line) {
    for_each_token(line, ' ', [&](std::string_view name) {
      for (Controller c :
           {Controller::kMemory, Controller::kPids, Controller::kCpu, Controller::kIo})
        if (to_string(c) == name) set.add(c);
    });
  });
  return set;
}

std::optional<std::string> find_cgroup2_mount(std::string_view mountinfo) {
  std::optional<std::string> point;
  for_each_token(mountinfo, '\n', [&](std::string_view line) {
    auto mount = parse_mount(line);
    if (mount && mount->version == 2 && !point) point = mount->point;
  });
  return point;
}

CgroupLayout parse_cgroup_layout(std::string_view mountinfo, std::string_view proc_self_cgroup,
                                 std::string_view v2_controllers) {
  std::vector<std::pair<CgroupMount, CgroupHierarchy>> found;
  for_each_token(mountinfo, '\n', [&](std::string_view line) {
    auto mount = parse_mount(line);
    if (!mount) return;
    CgroupHierarchy hierarchy{.version = mount->version,
                              .mount = mount->point,
                              .own = {},
                              .read_only = mount->read_only,
                              .controllers = {},
                              .base = {},
                              .unusable = {}};
    std::string key;
    if (mount->version == 2) {
      hierarchy.controllers = parse_v2_controllers(v2_controllers);
    } else {
      for_each_token(mount->super_options, ',', [&](std::string_view option) {
        if (auto controller = v1_controller(option)) {
          hierarchy.controllers.add(*controller);
          key = option;
        }
      });
      if (hierarchy.controllers.empty()) return;
    }
    if (auto own = own_group(proc_self_cgroup, key)) hierarchy.own = below(mount->root, *own);
    add_hierarchy(found, std::move(*mount), std::move(hierarchy));
  });

  CgroupLayout layout;
  for (auto& [mount, hierarchy] : found) layout.hierarchies.push_back(std::move(hierarchy));
  for (CgroupHierarchy& h : layout.hierarchies) {
    if (h.version != 2) continue;
    for (Controller core : {Controller::kCpuacct, Controller::kFreezer})
      if (layout.find(core) == nullptr) h.controllers.add(core);
  }
  std::erase_if(layout.hierarchies, [](const CgroupHierarchy& h) { return h.controllers.empty(); });
  return layout;
}

}  // namespace caisson::sys
