#include "sys/seccomp_table.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <random>

#include "sys/seccomp_interpreter.h"

namespace caisson::sys {
namespace {

constexpr SeccompDecision kAllow{SeccompAction::kAllow, 0};
constexpr SeccompDecision fail(std::uint16_t error) { return {SeccompAction::kErrno, error}; }

FilterInterpreter compiled(const SeccompTable& table) {
  return FilterInterpreter(compile_seccomp_table(table).value());
}

std::string verdict(const FilterInterpreter& filter, int number,
                    std::array<std::uint64_t, 6> arguments = {},
                    std::uint32_t architecture = AUDIT_ARCH_X86_64) {
  return action_text(filter.run(number, arguments, architecture).action);
}

TEST(SeccompTable, FirstCaseThatHoldsDecides) {
  const FilterInterpreter filter = compiled(
      {fail(ENOSYS),
       {{"socket",
         {{{{0, 0xffffffff, 1}, {1, 0xf, 2}}, kAllow}, {{{0, 0xffffffff, 1}}, fail(EACCES)}},
         fail(EPERM)},
        {"read", {}, kAllow}}});
  EXPECT_EQ(verdict(filter, SYS_socket, {1, 2}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_socket, {1, 0xf2}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_socket, {0x500000001, 0x700000002}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_socket, {1, 3}), "EACCES");
  EXPECT_EQ(verdict(filter, SYS_socket, {2, 2}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_write), "ENOSYS");
  EXPECT_EQ(verdict(filter, -1), "ENOSYS");
}

TEST(SeccompTable, OtherArchitecturesAreKilled) {
  for (const SeccompTable& table :
       {SeccompTable{kAllow, {}}, SeccompTable{fail(EPERM), {{"read", {}, kAllow}}}}) {
    const FilterInterpreter filter = compiled(table);
    EXPECT_EQ(verdict(filter, 0, {}, AUDIT_ARCH_I386), "KILL_PROCESS");
    EXPECT_EQ(verdict(filter, 0, {}, AUDIT_ARCH_AARCH64), "KILL_PROCESS");
    EXPECT_EQ(verdict(filter, 0x40000000), "KILL_PROCESS");
    EXPECT_EQ(verdict(filter, -2), "KILL_PROCESS");
    EXPECT_EQ(verdict(filter, 0), "ALLOW");
  }
}

TEST(SeccompTable, FaultyTablesAreErrors) {
  EXPECT_FALSE(compile_seccomp_table({kAllow, {{"no_such_call", {}, kAllow}}}));
  const auto twice = compile_seccomp_table({kAllow, {{"read", {}, kAllow}, {"read", {}, kAllow}}});
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("'read': listed twice"), std::string::npos);
}

/// Random policies, large ones with far jumps among them, decide as libseccomp's programs do.
TEST(SeccompTable, AgreesWithLibseccomp) {
  std::mt19937 random(1);
  const SeccompDecision decisions[] = {kAllow,
                                       fail(EPERM),
                                       fail(EACCES),
                                       fail(EIO),
                                       {SeccompAction::kTrap, 0},
                                       {SeccompAction::kLog, 0}};
  for (int round = 0; round < 20; ++round) {
    SeccompTable table{fail(ENOSYS), {}};
    SeccompRules rules{.default_decision = fail(ENOSYS)};
    std::vector<std::string> names;
    for (int number = 0; number <= 470; ++number) names.push_back(syscall_name(number));
    for (const std::string& name : names) {
      if (name.empty() || random() % 3 == 0) continue;
      const SeccompDecision decision = decisions[random() % std::size(decisions)];
      if (random() % 8 != 0) {
        table.calls.push_back({name, {}, decision});
        rules.rules.push_back({name, decision, {}});
        continue;
      }
      table.calls.push_back({name, {{{{0, 0xffffffff, 7}}, decision}}, fail(ENOSYS)});
      rules.rules.push_back({name, decision, {{0, SeccompCompare::kMaskedEqual, 0xffffffff, 7}}});
    }
    const FilterInterpreter ours = compiled(table);
    const FilterInterpreter theirs(compile_seccomp(rules).value());
    for (int number = -3; number <= 600; ++number)
      for (const std::uint64_t argument : {0ull, 7ull, 0x100000007ull})
        EXPECT_EQ(verdict(ours, number, {argument}), verdict(theirs, number, {argument})) << number;
    for (const std::uint32_t architecture : {AUDIT_ARCH_I386, AUDIT_ARCH_ARM})
      EXPECT_EQ(verdict(ours, 3, {}, architecture), verdict(theirs, 3, {}, architecture));
  }
}

}  // namespace
}  // namespace caisson::sys
