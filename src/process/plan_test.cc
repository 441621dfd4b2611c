#include "process/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace caisson::process {
namespace {

namespace access = sys::fs_access;

Facts facts_of(int abi) { return {.landlock_abi = abi, .landlock_missing = "there is none"}; }

BoxSpec spec_of(Isolation isolation = Isolation::kProcess) {
  BoxSpec spec;
  spec.source = "host:";
  spec.isolation = isolation;
  spec.command = {"true"};
  return spec;
}

Plan plan_of(const BoxSpec& spec, int abi = 7) {
  return make_plan(spec, facts_of(abi), "/home/boxes/id").value();
}

sys::FsAccess access_of(const Plan& plan, std::string_view path) {
  for (const AllowedPath& allowed : plan.paths)
    if (allowed.path == path) return allowed.access;
  return 0;
}

TEST(ProcessPlan, TheHostsProgramsAndNoSecrets) {
  const Plan plan = plan_of(spec_of());
  EXPECT_TRUE(plan.confined && plan.landlock && plan.no_new_privileges);
  EXPECT_TRUE(access_of(plan, "/usr") & access::kExecute);
  EXPECT_FALSE(access_of(plan, "/usr") & access::kWriteFile);
  EXPECT_TRUE(access_of(plan, "/home/boxes/id/workspace") & access::kWriteFile);
  for (const char* secret : {"/etc", "/etc/shadow", "/proc", "/home", "/", "/tmp", "/run"})
    EXPECT_EQ(access_of(plan, secret), 0u) << secret;
  EXPECT_TRUE(plan.options.forbid_tcp && plan.options.forbid_scope);
  EXPECT_FALSE(plan.seccomp.internet || plan.seccomp.tcp || plan.seccomp.forbid_truncate);
  EXPECT_TRUE(plan.warnings.empty());
}

TEST(ProcessPlan, ListsBecomeRights) {
  BoxSpec spec = spec_of();
  spec.access = {{"/r"}, {"/w"}, {"/x"}, {80}, {8080}};
  spec.protect_defaults = false;
  const Plan plan = plan_of(spec);
  EXPECT_EQ(access_of(plan, "/r"), access::kRead);
  EXPECT_TRUE(access_of(plan, "/w") & access::kMakeDir);
  EXPECT_FALSE(access_of(plan, "/w") & (access::kExecute | access::kMakeChar | access::kMakeSock));
  EXPECT_EQ(access_of(plan, "/x"), access::kRead | access::kExecute);
  EXPECT_EQ(plan.connect_ports, (std::vector<std::uint16_t>{80}));
  EXPECT_TRUE(plan.seccomp.tcp);
  EXPECT_TRUE(plan.warnings.empty());
}

TEST(ProcessPlan, EveryLevelOfLandlock) {
  for (int abi = 1; abi <= 7; ++abi) {
    const Plan plan = plan_of(spec_of(), abi);
    for (const AllowedPath& allowed : plan.paths)
      EXPECT_EQ(allowed.access & ~sys::landlock_rights(abi), 0u) << abi << allowed.path;
    EXPECT_EQ(plan.options.forbid_tcp, abi >= 4) << abi;
    EXPECT_EQ(plan.options.forbid_scope, abi >= 6) << abi;
    EXPECT_EQ(plan.seccomp.forbid_truncate, abi < 3) << abi;
    EXPECT_EQ(plan.warnings.empty(), abi >= 6) << abi;
  }
  const auto none = make_plan(spec_of(), facts_of(0), "/d");
  EXPECT_EQ(none.error().reason, "landlock_unavailable");
  BoxSpec ports = spec_of();
  ports.access.connect_ports = {80};
  EXPECT_EQ(make_plan(ports, facts_of(3), "/d").error().reason, "landlock_unavailable");
  EXPECT_TRUE(make_plan(ports, facts_of(4), "/d"));
}

TEST(ProcessPlan, WritableDirectoriesCannotHaveProtectedParts) {
  BoxSpec spec = spec_of();
  spec.access.write = {"/w"};
  EXPECT_EQ(plan_of(spec).warnings.size(), 1u);
}

TEST(HostPlan, NothingIsForbiddenUnlessSomethingIsListed) {
  BoxSpec spec = spec_of(Isolation::kUnsafeHost);
  Plan plan = plan_of(spec, 0);
  EXPECT_FALSE(plan.confined || plan.landlock || plan.no_new_privileges);
  EXPECT_NE(describe(plan).find("NOT ISOLATED"), std::string::npos);
  spec.access.read = {"/r"};
  EXPECT_EQ(make_plan(spec, facts_of(0), "/d").error().reason, "landlock_unavailable");
  plan = plan_of(spec);
  EXPECT_TRUE(plan.landlock && plan.no_new_privileges);
  EXPECT_FALSE(plan.confined || plan.options.forbid_tcp);
}

}  // namespace
}  // namespace caisson::process
