#include "sys/seccomp.h"

#include <gtest/gtest.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include <cerrno>

#include "sys/seccomp_interpreter.h"

namespace caisson::sys {
namespace {

constexpr SeccompDecision kAllow{SeccompAction::kAllow, 0};
constexpr SeccompDecision fail(std::uint16_t error) { return {SeccompAction::kErrno, error}; }

FilterInterpreter compiled(const SeccompRules& rules) {
  const Result<std::string> program = compile_seccomp(rules);
  EXPECT_TRUE(program) << program.error().message;
  return FilterInterpreter(program ? *program : std::string());
}

std::string verdict(const FilterInterpreter& filter, int number,
                    std::array<std::uint64_t, 6> arguments = {},
                    std::uint32_t architecture = AUDIT_ARCH_X86_64) {
  return action_text(filter.run(number, arguments, architecture).action);
}

TEST(Seccomp, NamesAndNumbersAgree) {
  EXPECT_EQ(syscall_number("read"), 0);
  EXPECT_EQ(syscall_number("clone3"), 435);
  EXPECT_EQ(syscall_number("mseal"), 462);
  EXPECT_EQ(syscall_name(462), "mseal");
  EXPECT_EQ(syscall_number("chown32"), -1) << "a call of i386 only";
  EXPECT_EQ(syscall_number("no_such_call"), -1);
  EXPECT_EQ(syscall_name(400), "");
  for (int number = 0; number <= 470; ++number) {
    const std::string name = syscall_name(number);
    if (name.empty()) continue;
    EXPECT_EQ(syscall_number(name), number) << name;
  }
}

TEST(Seccomp, DefaultRulesAndUnknownNames) {
  const FilterInterpreter filter =
      compiled({.default_decision = fail(ENOSYS),
                .rules = {{"read", kAllow, {}},
                          {"mount", fail(EPERM), {}},
                          {"mseal", kAllow, {}},
                          {"clone3", fail(ENOSYS), {}},
                          {"no_such_call", kAllow, {}},
                          {"reboot", {SeccompAction::kKillProcess, 0}, {}}}});
  EXPECT_EQ(verdict(filter, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_mount), "EPERM");
  EXPECT_EQ(verdict(filter, 462), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_clone3), "ENOSYS");
  EXPECT_EQ(verdict(filter, SYS_write), "ENOSYS");
  EXPECT_EQ(verdict(filter, SYS_reboot), "KILL_PROCESS");
  EXPECT_EQ(verdict(filter, -1), "ENOSYS");
}

TEST(Seccomp, OtherArchitecturesKillUnlessAllowed) {
  SeccompRules rules{.default_decision = fail(EPERM), .rules = {{"getpid", kAllow, {}}}};
  const FilterInterpreter strict = compiled(rules);
  EXPECT_EQ(verdict(strict, 20, {}, AUDIT_ARCH_I386), "KILL_PROCESS");
  EXPECT_EQ(verdict(strict, SYS_getpid, {}, AUDIT_ARCH_AARCH64), "KILL_PROCESS");
  EXPECT_EQ(verdict(strict, 0x40000000 | SYS_getpid), "KILL_PROCESS");
  rules.allow_i386 = rules.allow_x32 = true;
  const FilterInterpreter open = compiled(rules);
  EXPECT_EQ(verdict(open, 20, {}, AUDIT_ARCH_I386), "ALLOW");
  EXPECT_EQ(verdict(open, 0x40000000 | SYS_getpid), "ALLOW");
  EXPECT_EQ(verdict(open, SYS_getpid), "ALLOW");
  EXPECT_EQ(verdict(open, SYS_getpid, {}, AUDIT_ARCH_AARCH64), "KILL_PROCESS");
}

TEST(Seccomp, NewerCallsWithManyArchitectures) {
  SeccompRules rules{.default_decision = fail(EPERM),
                     .rules = {{"mseal", kAllow, {}}, {"chown32", kAllow, {}}},
                     .allow_i386 = true};
  const FilterInterpreter filter = compiled(rules);
  EXPECT_EQ(verdict(filter, 462), "ALLOW");
  EXPECT_EQ(verdict(filter, 212, {}, AUDIT_ARCH_I386), "ALLOW") << "chown32";
  EXPECT_EQ(verdict(filter, 462, {}, AUDIT_ARCH_I386), "EPERM") << "the default, which is stricter";
  rules.default_decision = kAllow;
  rules.rules = {{"mseal", fail(EPERM), {}}};
  const Result<std::string> program = compile_seccomp(rules);
  ASSERT_FALSE(program) << "the default would be weaker";
  EXPECT_EQ(program.error().reason, "seccomp_policy_unenforceable");
}

TEST(Seccomp, Conditions) {
  const auto first = [](SeccompCompare compare, std::uint64_t a, std::uint64_t b = 0) {
    return std::vector<SeccompCondition>{{0, compare, a, b}};
  };
  const FilterInterpreter filter =
      compiled({.default_decision = fail(EPERM),
                .rules = {{"dup", kAllow, first(SeccompCompare::kNotEqual, 5)},
                          {"close", kAllow, first(SeccompCompare::kLess, 5)},
                          {"fsync", kAllow, first(SeccompCompare::kLessEqual, 5)},
                          {"fchdir", kAllow, first(SeccompCompare::kEqual, 1ull << 40)},
                          {"umask", kAllow, first(SeccompCompare::kGreaterEqual, 5)},
                          {"alarm", kAllow, first(SeccompCompare::kGreater, 5)},
                          {"iopl", kAllow, first(SeccompCompare::kMaskedEqual, 0xf0, 0x20)}}});
  EXPECT_EQ(verdict(filter, SYS_dup, {5}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_dup, {6}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_close, {4}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_close, {5}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_close, {1ull << 32}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_fsync, {5}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_fsync, {6}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_fchdir, {1ull << 40}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_fchdir, {0}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_umask, {5}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_alarm, {5}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_iopl, {0xf2f}), "ALLOW") << "bits outside the mask mean nothing";
  EXPECT_EQ(verdict(filter, SYS_iopl, {0x30}), "EPERM");
}

TEST(Seccomp, ConflictingRulesAreAnError) {
  const Result<std::string> program =
      compile_seccomp({.default_decision = fail(ENOSYS),
                       .rules = {{"read", kAllow, {}}, {"read", fail(EPERM), {}}}});
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().reason, "seccomp_policy_invalid");
  EXPECT_NE(program.error().message.find("'read'"), std::string::npos);
}

TEST(Seccomp, LibraryErrorsNameTheCall) {
  const Result<std::string> program = compile_seccomp(
      {.default_decision = fail(EPERM),
       .rules = {{"read",
                  kAllow,
                  {{0, SeccompCompare::kEqual, 1, 0}, {0, SeccompCompare::kEqual, 2, 0}}}}});
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().sys_errno, EINVAL);
  EXPECT_NE(program.error().message.find("'read'"), std::string::npos);
}

TEST(Seccomp, TooLargeIsAnError) {
  SeccompRules rules{.default_decision = fail(EPERM), .rules = {}};
  for (std::uint64_t value = 0; value < 2000; ++value)
    rules.rules.push_back({"read", kAllow, {{0, SeccompCompare::kEqual, value << 32 | value, 0}}});
  const Result<std::string> program = compile_seccomp(rules);
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().reason, "seccomp_policy_too_large");
}

}  // namespace
}  // namespace caisson::sys
