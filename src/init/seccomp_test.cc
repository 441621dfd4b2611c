#include "init/seccomp.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "sys/seccomp_interpreter.h"

namespace caisson::init {
namespace {

using sys::FilterInterpreter;

BoxSpec with_policy(std::string policy) {
  BoxSpec spec;
  spec.security.seccomp = SeccompMode::kCustom;
  spec.security.seccomp_policy = std::move(policy);
  return spec;
}

BoxSpec with_sample(const std::string& name) {
  return with_policy(read_file(CAISSON_TEST_DATA "/data/" + name).value());
}

FilterInterpreter program_of(const BoxSpec& spec, const std::set<std::string>& caps = {}) {
  const Result<std::string> program = seccomp_program(spec, caps, "");
  EXPECT_TRUE(program) << program.error().message;
  return FilterInterpreter(program ? *program : std::string());
}

std::string verdict(const FilterInterpreter& filter, long number,
                    std::array<std::uint64_t, 6> arguments = {},
                    std::uint32_t architecture = AUDIT_ARCH_X86_64) {
  return sys::action_text(filter.run(static_cast<int>(number), arguments, architecture).action);
}

TEST(SeccompProgram, UnconfinedIsEmpty) {
  BoxSpec spec;
  spec.security.seccomp = SeccompMode::kUnconfined;
  EXPECT_EQ(seccomp_program(spec, {}, "").value(), "");
}

TEST(SeccompProgram, ProfileIsTheDefault) {
  const FilterInterpreter filter = program_of(BoxSpec{}, {"CAP_SYS_CHROOT"});
  EXPECT_EQ(verdict(filter, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_mount), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_chroot), "ALLOW");
}

TEST(SeccompProgram, PolicyByCapabilities) {
  const BoxSpec spec = with_sample("seccomp_by_caps.json");
  const FilterInterpreter plain = program_of(spec);
  EXPECT_EQ(verdict(plain, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(plain, 462), "ALLOW") << "mseal";
  EXPECT_EQ(verdict(plain, SYS_mount), "EPERM");
  EXPECT_EQ(verdict(plain, SYS_clone3), "ENOSYS");
  EXPECT_EQ(verdict(plain, SYS_clone, {17}), "ALLOW");
  EXPECT_EQ(verdict(plain, SYS_clone, {0x10000000}), "EPERM");
  EXPECT_EQ(verdict(plain, SYS_chroot), "EPERM");
  EXPECT_EQ(verdict(program_of(spec, {"CAP_SYS_CHROOT"}), SYS_chroot), "ALLOW");
  const FilterInterpreter admin = program_of(spec, {"CAP_SYS_ADMIN"});
  EXPECT_EQ(verdict(admin, SYS_clone, {0x10000000}), "ALLOW");
  EXPECT_EQ(verdict(admin, SYS_unshare), "ALLOW");
}

TEST(SeccompProgram, PolicyMayAllowOtherArchitectures) {
  const FilterInterpreter filter = program_of(with_sample("seccomp_by_caps.json"));
  EXPECT_EQ(verdict(filter, 3, {}, AUDIT_ARCH_I386), "ALLOW") << "read";
  EXPECT_EQ(verdict(filter, 212, {}, AUDIT_ARCH_I386), "ALLOW") << "chown32";
  EXPECT_EQ(verdict(filter, 21, {}, AUDIT_ARCH_I386), "EPERM") << "mount";
  EXPECT_EQ(verdict(filter, 0x40000000 | SYS_write), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_write, {}, AUDIT_ARCH_AARCH64), "KILL_PROCESS");
}

TEST(SeccompProgram, Denylist) {
  const FilterInterpreter filter = program_of(with_sample("seccomp_denylist.json"));
  EXPECT_EQ(verdict(filter, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_mkdir), "EROFS");
  EXPECT_EQ(verdict(filter, SYS_mkdirat), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_kexec_load), "KILL_PROCESS");
  EXPECT_EQ(verdict(filter, SYS_personality, {4}), "TRAP") << "conditions on one argument: any";
  EXPECT_EQ(verdict(filter, SYS_personality, {0x40008}), "TRAP");
  EXPECT_EQ(verdict(filter, SYS_personality, {8}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_socket, {2, 3}), "EAFNOSUPPORT") << "on several arguments: all";
  EXPECT_EQ(verdict(filter, SYS_socket, {2, 1}), "ALLOW");
  EXPECT_EQ(verdict(filter, 3, {}, AUDIT_ARCH_I386), "KILL_PROCESS");
}

TEST(SeccompProgram, ErrorsKeepTheirReason) {
  const Result<std::string> program = seccomp_program(with_policy("{}"), {}, "");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().reason, "seccomp_policy_invalid");
}

/// The shape of what distributions ship: every member written out, other architectures among them.
TEST(SeccompProgram, DistributionPolicy) {
  const BoxSpec spec = with_sample("seccomp_distribution.json");
  const FilterInterpreter filter = program_of(spec, {"CAP_SYS_CHROOT"});
  EXPECT_EQ(verdict(filter, SYS_read), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_kexec_load), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_mount), "ENOSYS");
  EXPECT_EQ(verdict(filter, SYS_chroot), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_personality, {131080}), "ALLOW");
  EXPECT_EQ(verdict(filter, SYS_personality, {4}), "ENOSYS");
  EXPECT_EQ(verdict(filter, SYS_clone), "ENOSYS") << "a rule of another architecture";
  EXPECT_EQ(verdict(filter, SYS_socket, {16, 3, 9}), "EINVAL") << "netlink's audit";
  EXPECT_EQ(verdict(filter, SYS_socket, {2, 1, 0}), "ALLOW");
  EXPECT_EQ(verdict(program_of(spec), SYS_chroot), "EPERM");
}

}  // namespace
}  // namespace caisson::init
