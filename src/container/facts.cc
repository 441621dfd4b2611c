#include "container/facts.h"

#include <sys/stat.h>
#include <unistd.h>

namespace caisson::container {
namespace {

/// The caller's login name from /etc/passwd; read here because the programs are static, and
/// getpwuid(3) would load the host's name services into them.
std::string login_name(uid_t uid) {
  Result<std::string> file = read_file("/etc/passwd");
  if (!file) return {};
  const std::string key = format(":{}:", uid);
  for (std::size_t at = 0; at < file->size();) {
    const std::size_t end = std::min(file->find('\n', at), file->size());
    const std::string_view line = std::string_view(*file).substr(at, end - at);
    const auto first = line.find(':');
    const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second != line.npos && line.substr(second, key.size()) == key)
      return std::string(line.substr(0, first));
    at = end + 1;
  }
  return {};
}

/// Root's boxes have ids that own nothing, anybody else's have the caller's own.
Result<bool> exposed_program(bool root) {
  struct stat info{};
  if (::stat("/proc/self/exe", &info) < 0) return sys_error("inspect own program", "");
  constexpr mode_t kWritableByOthers = S_IWGRP | S_IWOTH;
  return (info.st_mode & kWritableByOthers) != 0 || (!root && info.st_uid != 0);
}

}  // namespace

Result<Facts> gather_facts(const sys::CgroupLayout& cgroups) {
  Facts facts;
  facts.uid = ::geteuid();
  facts.gid = ::getegid();
  facts.root = facts.uid == 0;
  facts.exposed_program = TRY(exposed_program(facts.root));
  if (const auto* memory = cgroups.find(sys::Controller::kMemory))
    facts.unified_cgroup = memory->version == 2;
  if (facts.root) return facts;
  const std::string name = login_name(facts.uid);
  const bool tools =
      ::access("/usr/bin/newuidmap", X_OK) == 0 && ::access("/usr/bin/newgidmap", X_OK) == 0;
  if (!tools) return facts;
  if (Result<std::string> file = read_file("/etc/subuid"))
    facts.subuids = sys::subordinate_ids(*file, name, facts.uid);
  if (Result<std::string> file = read_file("/etc/subgid"))
    facts.subgids = sys::subordinate_ids(*file, name, facts.uid);
  return facts;
}

}  // namespace caisson::container
