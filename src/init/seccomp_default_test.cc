// Every decision of the built-in policies against files that a reviewer reads: when a change of
// policy is meant, run with CAISSON_UPDATE_GOLDEN=1 and commit the difference.
#include "init/seccomp_default.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/format.h"
#include "sys/seccomp_interpreter.h"

namespace caisson::init {
namespace {

using sys::action_text;
using sys::FilterInterpreter;

const std::set<std::string> kDockerCaps = {"CAP_CHOWN", "CAP_SETUID", "CAP_SYS_CHROOT"};
constexpr std::uint64_t kUpper = 0xdeadbeef00000000;

struct NamedProfile {
  Profile profile;
  const char* name;
};
constexpr NamedProfile kProfiles[] = {
    {Profile::kMinimal, "minimal"}, {Profile::kStandard, "standard"}, {Profile::kFull, "full"}};

FilterInterpreter filter_of(Profile profile) {
  const std::set<std::string> caps =
      profile == Profile::kMinimal ? std::set<std::string>() : kDockerCaps;
  const Result<std::string> program =
      sys::compile_seccomp_table(builtin_seccomp_table(profile, caps));
  EXPECT_TRUE(program) << program.error().message;
  return FilterInterpreter(program ? *program : std::string());
}

using Arguments = std::array<std::uint64_t, 6>;

std::string verdict(const FilterInterpreter& filter, long number, Arguments arguments = {}) {
  return action_text(filter.run(static_cast<int>(number), arguments).action);
}

void list_calls(const FilterInterpreter& filter, std::string& out) {
  for (int number = 0; number <= 470; ++number) {
    const std::string name = sys::syscall_name(number);
    const sys::FilterVerdict found = filter.run(number);
    out += format("{} {} {}\n", name.empty() ? "-" : name, number,
                  found.read_arguments ? "BY_ARGUMENTS" : action_text(found.action));
  }
}

void list_sockets(const FilterInterpreter& filter, std::string& out) {
  for (unsigned family = 0; family <= 46; ++family) {
    out += format("socketpair({}) {}\n", family, verdict(filter, SYS_socketpair, {family, 1}));
    for (unsigned type = 1; type <= 6; ++type)
      out += format("socket({}, {}, 0) {}\n", family, type,
                    verdict(filter, SYS_socket, {family, type}));
  }
  for (unsigned protocol = 0; protocol <= 263; ++protocol)
    out += format("socket(AF_INET, SOCK_STREAM, {}) {}\n", protocol,
                  verdict(filter, SYS_socket, {AF_INET, SOCK_STREAM, protocol}));
  for (unsigned protocol = 0; protocol < 24; ++protocol)
    out += format("socket(AF_NETLINK, SOCK_RAW, {}) {}\n", protocol,
                  verdict(filter, SYS_socket, {AF_NETLINK, SOCK_RAW, protocol}));
}

void list_arguments(const FilterInterpreter& filter, std::string& out) {
  for (unsigned bit = 0; bit < 32; ++bit)
    out += format("clone({:#x}) {}\n", 1u << bit, verdict(filter, SYS_clone, {1u << bit}));
  for (unsigned bit = 0; bit < 32; ++bit)
    out +=
        format("personality({:#x}) {}\n", 1u << bit, verdict(filter, SYS_personality, {1u << bit}));
  for (const unsigned persona : {0u, 0x20008u, 0x40008u, 0xffffffffu})
    out += format("personality({:#x}) {}\n", persona, verdict(filter, SYS_personality, {persona}));
  for (unsigned request = 0x5400; request <= 0x5480; ++request)
    out += format("ioctl({:#x}) {}\n", request, verdict(filter, SYS_ioctl, {0, request}));
}

std::string golden_text(Profile profile) {
  const FilterInterpreter filter = filter_of(profile);
  std::string out;
  list_calls(filter, out);
  list_sockets(filter, out);
  list_arguments(filter, out);
  return out;
}

TEST(SeccompDefault, DecisionsAreTheReviewedOnes) {
  for (const auto& [profile, name] : kProfiles) {
    const std::string path = format("{}/golden/seccomp_{}.txt", CAISSON_TEST_DATA, name);
    const std::string actual = golden_text(profile);
    if (std::getenv("CAISSON_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
    std::stringstream expected;
    expected << std::ifstream(path).rdbuf();
    std::istringstream lines(actual);
    std::string wanted, got;
    while (std::getline(expected, wanted))
      EXPECT_TRUE(std::getline(lines, got) && got == wanted)
          << name << ": '" << wanted << "' is now '" << got << "'";
    EXPECT_FALSE(std::getline(lines, got)) << name << ": new line " << got;
  }
}

TEST(SeccompDefault, EveryNameIsKnownAndInOneGroup) {
  std::set<std::string> seen;
  for (const SeccompGroup& group : seccomp_groups()) {
    EXPECT_FALSE(group.reason.empty());
    std::istringstream names{std::string(group.names)};
    std::string name;
    while (std::getline(names, name, ' ')) {
      EXPECT_GE(sys::syscall_number(name), 0) << name;
      EXPECT_TRUE(seen.insert(name).second) << name << " is listed twice";
    }
  }
  for (const char* name : {"clone", "socket", "socketpair", "ioctl", "personality"})
    EXPECT_FALSE(seen.contains(name)) << name << " is decided by its arguments";
}

TEST(SeccompDefault, OtherArchitecturesAreKilled) {
  for (const auto& [profile, name] : kProfiles) {
    const FilterInterpreter filter = filter_of(profile);
    for (int number = 0; number <= 470; ++number) {
      EXPECT_EQ(action_text(filter.run(number, {}, AUDIT_ARCH_I386).action), "KILL_PROCESS");
      EXPECT_EQ(verdict(filter, 0x40000000 | number), "KILL_PROCESS") << "x32";
    }
    EXPECT_EQ(verdict(filter, 0x7fffffff), "KILL_PROCESS");
    EXPECT_EQ(action_text(filter.run(102, {}, AUDIT_ARCH_I386).action), "KILL_PROCESS")
        << "socketcall";
  }
}

TEST(SeccompDefault, UpperHalvesOfArgumentsChangeNothing) {
  const FilterInterpreter filter = filter_of(Profile::kStandard);
  EXPECT_EQ(verdict(filter, SYS_ioctl, {0, kUpper | TIOCSTI}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_ioctl, {0, kUpper | TIOCLINUX}), "EPERM");
  EXPECT_EQ(verdict(filter, SYS_ioctl, {kUpper, kUpper | TCGETS}), "ALLOW");
  for (unsigned family = 0; family <= 46; ++family)
    for (unsigned type : {1u, 2u, 3u, 5u, 10u, 1u | SOCK_CLOEXEC | SOCK_NONBLOCK})
      for (unsigned protocol : {0u, 6u, 9u, 132u, 255u, 262u})
        EXPECT_EQ(verdict(filter, SYS_socket, {kUpper | family, kUpper | type, kUpper | protocol}),
                  verdict(filter, SYS_socket, {family, type, protocol}));
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_EQ(verdict(filter, SYS_clone, {kUpper | 1u << bit}),
              verdict(filter, SYS_clone, {1u << bit}));
  EXPECT_EQ(verdict(filter, SYS_personality, {~0ull}), "ALLOW");
}

TEST(SeccompDefault, WhatLibcDoesIsAllowed) {
  for (const auto& [profile, name] : kProfiles) {
    const FilterInterpreter filter = filter_of(profile);
    constexpr std::uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                      CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                                      CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    EXPECT_EQ(verdict(filter, SYS_clone, {kThread}), "ALLOW");
    EXPECT_EQ(verdict(filter, SYS_clone, {CLONE_VM | CLONE_VFORK | 17}), "ALLOW") << "posix_spawn";
    EXPECT_EQ(verdict(filter, SYS_clone, {CLONE_NEWUSER | 17}), "EPERM");
    EXPECT_EQ(verdict(filter, SYS_clone, {CLONE_NEWNET | CLONE_VM}), "EPERM");
    EXPECT_EQ(verdict(filter, SYS_clone3), "ENOSYS");
    EXPECT_EQ(verdict(filter, SYS_socket, {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0}), "ALLOW");
    EXPECT_EQ(verdict(filter, SYS_socket, {AF_INET, SOCK_RAW, IPPROTO_ICMP}), "EPERM");
    EXPECT_EQ(verdict(filter, SYS_socket, {AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP}),
              "ALLOW");
    EXPECT_EQ(verdict(filter, SYS_socket, {0x80000001, SOCK_STREAM, 0}), "EAFNOSUPPORT");
  }
}

TEST(SeccompDefault, ChrootNeedsItsCapability) {
  const auto with = [](const std::set<std::string>& caps) {
    const Result<std::string> program =
        sys::compile_seccomp_table(builtin_seccomp_table(Profile::kStandard, caps));
    return verdict(FilterInterpreter(program.value()), SYS_chroot);
  };
  EXPECT_EQ(with({"CAP_SYS_CHROOT"}), "ALLOW");
  EXPECT_EQ(with({"CAP_CHOWN"}), "EPERM");
}

TEST(SeccompDefault, KeysDifferWhereProgramsDo) {
  std::set<std::string> keys;
  for (const auto& [profile, name] : kProfiles)
    for (const auto& caps : {std::set<std::string>(), std::set<std::string>{"CAP_SYS_CHROOT"}})
      keys.insert(builtin_seccomp_key(profile, caps));
  EXPECT_EQ(keys.size(), 6u);
  EXPECT_EQ(builtin_seccomp_key(Profile::kFull, {"CAP_CHOWN"}),
            builtin_seccomp_key(Profile::kFull, {}));
}

TEST(SeccompDefault, StaysSmallAndFast) {
  for (const auto& [profile, name] : kProfiles) {
    const FilterInterpreter filter = filter_of(profile);
    EXPECT_LT(filter.size(), 400u) << name << ": every start of a process pays for each";
    EXPECT_LT(filter.run(SYS_read).steps, 20u);
    EXPECT_LT(filter.run(SYS_futex).steps, 20u);
    RecordProperty(std::string(name) + "_instructions", static_cast<int>(filter.size()));
  }
}

}  // namespace
}  // namespace caisson::init
