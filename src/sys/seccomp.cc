#include "sys/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/fd.h"

namespace caisson::sys {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

/// libseccomp returns a negative errno and leaves errno alone.
Error lib_error(int rc, std::string_view action, std::string_view object) {
  return errno_error(-rc, action, object);
}

std::uint32_t native(SeccompDecision decision) {
  switch (decision.action) {
    case SeccompAction::kAllow:
      return SCMP_ACT_ALLOW;
    case SeccompAction::kErrno:
      return SCMP_ACT_ERRNO(decision.value);
    case SeccompAction::kKillProcess:
      return SCMP_ACT_KILL_PROCESS;
    case SeccompAction::kKillThread:
      return SCMP_ACT_KILL_THREAD;
    case SeccompAction::kNotify:
      return SCMP_ACT_NOTIFY;
    case SeccompAction::kTrap:
      return SCMP_ACT_TRAP;
    case SeccompAction::kTrace:
      return SCMP_ACT_TRACE(decision.value);
    case SeccompAction::kLog:
      return SCMP_ACT_LOG;
  }
  return SCMP_ACT_KILL_PROCESS;
}

scmp_compare native(SeccompCompare compare) {
  switch (compare) {
    case SeccompCompare::kNotEqual:
      return SCMP_CMP_NE;
    case SeccompCompare::kLess:
      return SCMP_CMP_LT;
    case SeccompCompare::kLessEqual:
      return SCMP_CMP_LE;
    case SeccompCompare::kEqual:
      return SCMP_CMP_EQ;
    case SeccompCompare::kGreaterEqual:
      return SCMP_CMP_GE;
    case SeccompCompare::kGreater:
      return SCMP_CMP_GT;
    case SeccompCompare::kMaskedEqual:
      return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

Result<Context> make_context(const SeccompRules& rules) {
  Context context(seccomp_init(native(rules.default_decision)), &seccomp_release);
  if (!context)
    return make_error(Code::kInternal, "seccomp_filter_failed",
                      "create seccomp filter: libseccomp refused the default action");
  const struct {
    scmp_filter_attr attribute;
    std::uint32_t value;
    std::string_view name;
  } wanted[] = {
      {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS, "bad architecture action"},
      {SCMP_FLTATR_CTL_NNP, 0, "no_new_privs"},
      // A binary tree by number: every call costs about log2(calls) comparisons.
      {SCMP_FLTATR_CTL_OPTIMIZE, 2, "optimize"},
  };
  for (const auto& [attribute, value, name] : wanted)
    if (const int rc = seccomp_attr_set(context.get(), attribute, value); rc < 0)
      return lib_error(rc, "set seccomp filter attribute", name);
  return context;
}

Result<> add_rule(void* context, const SeccompRule& rule, int number) {
  std::vector<scmp_arg_cmp> comparisons;
  for (const SeccompCondition& condition : rule.conditions)
    comparisons.push_back(
        {condition.argument, native(condition.compare), condition.value, condition.value_two});
  const int rc =
      seccomp_rule_add_array(context, native(rule.decision), number,
                             static_cast<unsigned>(comparisons.size()), comparisons.data());
  if (rc == 0 || rc == -EEXIST) return {};
  return lib_error(rc, "add seccomp rule for system call", rule.name);
}

Error conflict(const SeccompRule& rule) {
  return make_error(Code::kInvalidArgument, "seccomp_policy_invalid",
                    format("add seccomp rule for system call '{}': another rule gives the same "
                           "call a different action",
                           rule.name));
}

Result<> add_rules(void* context, const SeccompRules& rules) {
  std::map<int, SeccompDecision> unconditional;
  for (const SeccompRule& rule : rules.rules) {
    const int number = syscall_number(rule.name);
    if (number < 0) continue;
    if (rule.conditions.empty()) {
      const auto [known, added] = unconditional.emplace(number, rule.decision);
      if (!added && known->second != rule.decision) return conflict(rule);
    }
    // libseccomp refuses rules that repeat the default.
    if (rule.decision != rules.default_decision) TRY(add_rule(context, rule, number));
  }
  return {};
}

bool permits(SeccompDecision decision) {
  return decision.action == SeccompAction::kAllow || decision.action == SeccompAction::kLog;
}

/// The rules for a 32-bit architecture. libseccomp translates the numbers of the calls that it
/// knows; a newer call keeps the default, which must not be weaker than the rule.
Result<> add_foreign_rules(void* context, const SeccompRules& rules) {
  for (const SeccompRule& rule : rules.rules) {
    if (rule.decision == rules.default_decision) continue;
    const int number = seccomp_syscall_resolve_name(rule.name.c_str());
    if (number != __NR_SCMP_ERROR) {
      TRY(add_rule(context, rule, number));
    } else if (syscall_number(rule.name) >= 0 && permits(rules.default_decision) &&
               !permits(rule.decision)) {
      return make_error(Code::kUnimplemented, "seccomp_policy_unenforceable",
                        format("add seccomp rule for system call '{}': libseccomp does not know "
                               "the call on 32-bit architectures",
                               rule.name),
                        "remove the 32-bit architectures from the policy");
    }
  }
  return {};
}

/// Adds one more architecture to `context`, through a filter of its own: in a common one
/// libseccomp would refuse the calls that it can number on x86-64 only.
Result<> merge_architecture(void* context, const SeccompRules& rules, std::uint32_t architecture,
                            std::string_view name) {
  Context other = TRY(make_context(rules));
  int rc = seccomp_arch_remove(other.get(), SCMP_ARCH_NATIVE);
  if (rc == 0) rc = seccomp_arch_add(other.get(), architecture);
  if (rc < 0) return lib_error(rc, "add architecture to seccomp filter", name);
  TRY(add_foreign_rules(other.get(), rules));
  rc = seccomp_merge(context, other.get());
  if (rc < 0) return lib_error(rc, "add architecture to seccomp filter", name);
  [[maybe_unused]] const auto merged = other.release();  // a merge takes the other filter over
  return {};
}

Result<std::string> export_program(void* context) {
  Fd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return sys_error("create memory file", "seccomp");
  if (const int rc = seccomp_export_bpf(context, memory.get()); rc < 0)
    return lib_error(rc, "compile seccomp filter", "");
  if (::lseek(memory.get(), 0, SEEK_SET) < 0) return sys_error("rewind memory file", "seccomp");
  return read_all(memory.get(), 16u << 20, "seccomp");
}

}  // namespace

Result<std::string> compile_seccomp(const SeccompRules& rules) {
  const Context context = TRY(make_context(rules));
  TRY(add_rules(context.get(), rules));
  if (rules.allow_i386) TRY(merge_architecture(context.get(), rules, SCMP_ARCH_X86, "i386"));
  if (rules.allow_x32) TRY(merge_architecture(context.get(), rules, SCMP_ARCH_X32, "x32"));
  std::string program = TRY(export_program(context.get()));
  const std::size_t instructions = program.size() / sizeof(sock_filter);
  if (instructions > BPF_MAXINSNS)
    return make_error(Code::kResourceExhausted, "seccomp_policy_too_large",
                      format("compile seccomp filter: {} instructions, the kernel takes {}",
                             instructions, BPF_MAXINSNS),
                      "use fewer argument conditions or architectures");
  return program;
}

int install_seccomp(const void* program, std::size_t instructions) noexcept {
  sock_fprog description{static_cast<unsigned short>(instructions),
                         static_cast<sock_filter*>(const_cast<void*>(program))};
  // No flags: in particular not SPEC_ALLOW, which would turn speculation mitigations off.
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0UL, &description) == 0) return 0;
  return errno;
}

int install_seccomp_listener(const void* program, std::size_t instructions) noexcept {
  sock_fprog description{static_cast<unsigned short>(instructions),
                         static_cast<sock_filter*>(const_cast<void*>(program))};
  const long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                            &description);
  return fd >= 0 ? static_cast<int>(fd) : -errno;
}

}  // namespace caisson::sys
