#include <seccomp.h>

#include <cstdlib>
#include <memory>

#include "sys/seccomp.h"

namespace caisson::sys {
namespace {

struct NamedNumber {
  std::string_view name;
  int number;
};

/// Calls that libseccomp 2.5.4 may not know by name. New calls have the same number on every
/// architecture since Linux 5.1, except the two probes, which x86-64 has alone.
constexpr NamedNumber kNewerCalls[] = {
    {"uretprobe", 335},         {"uprobe", 336},
    {"futex_waitv", 449},       {"set_mempolicy_home_node", 450},
    {"cachestat", 451},         {"fchmodat2", 452},
    {"map_shadow_stack", 453},  {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},  {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},
    {"listxattrat", 465},       {"removexattrat", 466},
    {"open_tree_attr", 467},    {"file_getattr", 468},
    {"file_setattr", 469},      {"listns", 470},
};

}  // namespace

int syscall_number(std::string_view name) {
  for (const NamedNumber& call : kNewerCalls)
    if (call.name == name) return call.number;
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, std::string(name).c_str());
  return number < 0 ? -1 : number;  // below -1: libseccomp's marks for other architectures' calls
}

std::string syscall_name(int number) {
  for (const NamedNumber& call : kNewerCalls)
    if (call.number == number) return std::string(call.name);
  const std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
  return name ? name.get() : "";
}

}  // namespace caisson::sys
