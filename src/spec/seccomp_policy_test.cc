#include "spec/seccomp_policy.h"

#include <gtest/gtest.h>

namespace caisson {
namespace {

constexpr std::string_view kSample = R"({
  "comment": "fields that nobody knows are ignored",
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 38,
  "archMap": [
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
  ],
  "syscalls": [
    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}},
    {"name": "clone", "action": "SCMP_ACT_ALLOW", "comment": "no new namespaces",
     "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
     "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}},
    {"names": ["ptrace"], "action": "SCMP_ACT_TRACE", "errnoRet": 7,
     "includes": {"minKernel": "4.8", "caps": ["CAP_SYS_PTRACE"], "arches": ["amd64"]}},
    {"names": ["personality"], "action": "SCMP_ACT_ERRNO",
     "args": [{"index": 1, "value": 18446744073709551615, "valueTwo": 3, "op": "SCMP_CMP_GE"}]}
  ]
})";

std::string message_of(std::string_view json) {
  const Result<SeccompPolicy> policy = parse_seccomp_policy(json);
  if (policy) return "no error";
  EXPECT_EQ(policy.error().reason, "seccomp_policy_invalid");
  EXPECT_EQ(policy.error().code, Code::kInvalidArgument);
  EXPECT_EQ(policy.error().message.find('\n'), std::string::npos);
  return policy.error().message;
}

std::string rule_message(const std::string& rule) {
  return message_of(R"({"defaultAction": "SCMP_ACT_KILL", "syscalls": [)" + rule + "]}");
}

TEST(SeccompPolicy, ReadsEveryField) {
  const Result<SeccompPolicy> policy = parse_seccomp_policy(kSample);
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy->default_decision, (SeccompDecision{SeccompAction::kErrno, 38}));
  ASSERT_EQ(policy->rules.size(), 4u);
  EXPECT_EQ(policy->rules[0].names, (std::vector<std::string>{"read", "write"}));
  EXPECT_EQ(policy->rules[0].decision.action, SeccompAction::kAllow);
  EXPECT_EQ(policy->rules[1].names, std::vector<std::string>{"clone"});
  EXPECT_EQ(policy->rules[1].conditions,
            (std::vector<SeccompCondition>{{0, SeccompCompare::kMaskedEqual, 0x7e020000, 0}}));
  EXPECT_EQ(policy->rules[1].excludes.arches, std::vector<std::string>{"s390x"});
  EXPECT_EQ(policy->rules[2].decision, (SeccompDecision{SeccompAction::kTrace, 7}));
  EXPECT_EQ(policy->rules[2].includes.min_kernel, (KernelVersion{4, 8}));
  EXPECT_EQ(policy->rules[3].decision.value, 1) << "ERRNO without a number is EPERM";
  EXPECT_EQ(policy->rules[3].conditions[0].value, ~0ull);
  EXPECT_EQ(policy->rules[3].conditions[0].value_two, 3u);
}

TEST(SeccompPolicy, ResolvesFiltersAndArchitectures) {
  const SeccompPolicy policy = parse_seccomp_policy(kSample).value();
  const auto names = [&](const SeccompPolicyContext& context) {
    std::string list;
    for (const SeccompPolicyRule& rule : resolve(policy, context).rules)
      list += rule.names[0] + " ";
    return list;
  };
  EXPECT_EQ(names({{}, {6, 1}, "amd64"}), "read clone personality ");
  EXPECT_EQ(names({{"CAP_SYS_ADMIN"}, {6, 1}, "amd64"}), "read personality ");
  EXPECT_EQ(names({{"CAP_SYS_PTRACE"}, {4, 8}, "amd64"}), "read clone ptrace personality ");
  EXPECT_EQ(names({{"CAP_SYS_PTRACE"}, {4, 7}, "amd64"}), "read clone personality ");
  EXPECT_EQ(names({{"CAP_SYS_PTRACE"}, {6, 1}, "s390x"}), "read personality ");
  EXPECT_EQ(resolve(policy, {{}, {6, 1}, "amd64"}).architectures,
            (std::vector<std::string>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}));
  EXPECT_EQ(resolve(policy, {{}, {6, 1}, "riscv64"}).architectures, std::vector<std::string>());
}

TEST(SeccompPolicy, ExcludesByKernel) {
  const SeccompPolicy policy = parse_seccomp_policy(R"({"defaultAction": "SCMP_ACT_LOG",
      "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["read"],
      "action": "SCMP_ACT_TRAP", "excludes": {"minKernel": "5.10"}}]})")
                                   .value();
  EXPECT_EQ(resolve(policy, {{}, {5, 9}, "amd64"}).rules.size(), 1u);
  EXPECT_EQ(resolve(policy, {{}, {5, 10}, "amd64"}).rules.size(), 0u);
  EXPECT_EQ(resolve(policy, {{}, {6, 0}, "amd64"}).architectures,
            std::vector<std::string>{"SCMP_ARCH_X86_64"});
}

TEST(SeccompPolicy, SaysWhatIsWrong) {
  EXPECT_NE(message_of("{").find("not valid JSON at byte 2"), std::string::npos);
  EXPECT_NE(message_of("[]").find("not a JSON object"), std::string::npos);
  EXPECT_EQ(message_of("{}"), "read seccomp policy 'defaultAction': the action is missing");
  EXPECT_EQ(message_of(R"({"defaultAction": "ALLOW\n"})"),
            "read seccomp policy 'defaultAction': unknown action 'ALLOW?'");
  EXPECT_NE(message_of(R"({"defaultAction": "SCMP_ACT_NOTIFY"})").find("no listener"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"defaultAction": "SCMP_ACT_KILL", "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]})")
                .find("both"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"defaultAction": "SCMP_ACT_KILL", "architectures": ["x86"]})")
                .find("unknown architecture 'x86'"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"defaultAction": "SCMP_ACT_KILL", "syscalls": {}})").find("not a list"),
            std::string::npos);
}

TEST(SeccompPolicy, SaysWhichRuleIsWrong) {
  EXPECT_EQ(rule_message(R"({"names": ["read"], "action": "SCMP_ACT_MAYBE"})"),
            "read seccomp policy 'syscalls[0].action': unknown action 'SCMP_ACT_MAYBE'");
  EXPECT_NE(rule_message(R"({"action": "SCMP_ACT_ALLOW"})").find("no system call"),
            std::string::npos);
  EXPECT_NE(
      rule_message(R"({"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"})").find("both"),
      std::string::npos);
  EXPECT_NE(rule_message(R"({"names": [1], "action": "SCMP_ACT_ALLOW"})").find("not a string"),
            std::string::npos);
  EXPECT_NE(rule_message(R"({"name": "a", "action": "SCMP_ACT_ERRNO", "errnoRet": -1})")
                .find("syscalls[0].errnoRet': not a whole number"),
            std::string::npos);
  EXPECT_NE(rule_message(R"({"name": "a", "action": "SCMP_ACT_ERRNO", "errnoRet": 70000})")
                .find("larger than"),
            std::string::npos);
  const auto argument = [](const std::string& text) {
    return rule_message(R"({"name": "a", "action": "SCMP_ACT_ALLOW", "args": [)" + text + "]}");
  };
  EXPECT_EQ(argument(R"({"index": 0, "value": 1, "op": "SCMP_CMP_SAME"})"),
            "read seccomp policy 'syscalls[0].args[0].op': unknown operator 'SCMP_CMP_SAME'");
  EXPECT_NE(argument(R"({"index": 6, "op": "SCMP_CMP_EQ"})").find("larger than 5"),
            std::string::npos);
  EXPECT_NE(argument(R"({"index": 0, "value": 1.5, "op": "SCMP_CMP_EQ"})").find("whole number"),
            std::string::npos);
  for (const char* version : {"4", "4.8.1", "4.x", "0.0", "-1.2", "99999999999.1"})
    EXPECT_NE(
        rule_message(R"({"name": "a", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": ")" +
                     std::string(version) + R"("}})")
            .find("not KERNEL.MAJOR"),
        std::string::npos)
        << version;
}

TEST(SeccompPolicy, TooLongIsAnError) {
  EXPECT_NE(message_of(std::string((1u << 20) + 1, ' ')).find("larger than"), std::string::npos);
}

TEST(SeccompPolicy, KernelReleases) {
  EXPECT_EQ(parse_kernel_release("6.1.0-32-amd64"), (KernelVersion{6, 1}));
  EXPECT_EQ(parse_kernel_release("5.10-rc1"), (KernelVersion{5, 10}));
  EXPECT_EQ(parse_kernel_release("6"), std::nullopt);
  EXPECT_EQ(parse_kernel_release(""), std::nullopt);
}

}  // namespace
}  // namespace caisson
