#include "spec/effective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace caisson {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> capabilities(Profile profile, std::set<std::string> add,
                                      std::set<std::string> drop) {
  BoxSpec spec;
  spec.profile = profile;
  spec.security.cap_add = std::move(add);
  spec.security.cap_drop = std::move(drop);
  return spec::effective_capabilities(spec);
}

TEST(Effective, CapabilitiesAreTheProfilesWithThoseAddedWithoutThoseDropped) {
  EXPECT_EQ(capabilities(Profile::kStandard, {}, {}).size(), 14u);
  EXPECT_THAT(capabilities(Profile::kMinimal, {}, {}), IsEmpty());
  EXPECT_THAT(capabilities(Profile::kMinimal, {"net_raw", "CAP_CHOWN"}, {}),
              ElementsAre("CAP_CHOWN", "CAP_NET_RAW"));
  EXPECT_THAT(capabilities(Profile::kStandard, {}, {"Cap_Net_Raw"}), Not(Contains("CAP_NET_RAW")));
  EXPECT_THAT(capabilities(Profile::kStandard, {"NET_ADMIN"}, {"NET_ADMIN"}),
              Not(Contains("CAP_NET_ADMIN")));
}

TEST(Effective, AllCapabilitiesInDockersOrder) {
  EXPECT_THAT(capabilities(Profile::kStandard, {}, {"ALL"}), IsEmpty());
  EXPECT_THAT(capabilities(Profile::kStandard, {"CHOWN"}, {"all"}), ElementsAre("CAP_CHOWN"));
  EXPECT_EQ(capabilities(Profile::kMinimal, {"ALL"}, {}).size(), spec::all_capabilities().size());
  const auto most = capabilities(Profile::kMinimal, {"ALL"}, {"SYS_ADMIN"});
  EXPECT_EQ(most.size(), spec::all_capabilities().size() - 1);
  EXPECT_THAT(most, Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_EQ(capabilities(Profile::kMinimal, {"ALL"}, {"ALL"}).size(),
            spec::all_capabilities().size());
}

TEST(Effective, OwnFieldsComeBeforeTheProfiles) {
  BoxSpec spec;
  spec.profile = Profile::kMinimal;
  EXPECT_TRUE(spec::effective_read_only_root(spec));
  EXPECT_TRUE(spec::effective_no_new_privileges(spec));
  EXPECT_EQ(spec::effective_limits(spec).pids, profile_info(Profile::kMinimal).limits.pids);
  spec.read_only_root = false;
  spec.security.no_new_privileges = false;
  spec.limits.pids = 3;
  EXPECT_FALSE(spec::effective_read_only_root(spec));
  EXPECT_FALSE(spec::effective_no_new_privileges(spec));
  EXPECT_EQ(spec::effective_limits(spec).pids, 3u);
  EXPECT_FALSE(spec::effective_no_new_privileges(BoxSpec{.profile = Profile::kFull}));
}

TEST(Effective, ProtectedPathsAreThoseOfBoth) {
  BoxSpec spec;
  const std::size_t given = profile_info(spec.profile).protect.size();
  spec.protect = {"/mine", ".git/config"};
  EXPECT_EQ(spec::effective_protect(spec).size(), given + 1) << ".git/config is one of them";
  spec.protect_defaults = false;
  EXPECT_THAT(spec::effective_protect(spec), ElementsAre("/mine", ".git/config"));
  EXPECT_THAT(spec::effective_protect(BoxSpec{.profile = Profile::kFull}), IsEmpty());
}

TEST(Profiles, AreDataWithEveryName) {
  EXPECT_EQ(profiles().size(), 3u);
  for (const ProfileInfo& info : profiles()) {
    EXPECT_EQ(parse_profile(to_string(info.profile)).value(), info.profile);
    EXPECT_EQ(&profile_info(info.profile), &info);
    EXPECT_FALSE(info.about.empty());
    const auto value = nlohmann::json::parse(to_json(info));
    EXPECT_EQ(value["name"], to_string(info.profile));
    EXPECT_EQ(value["capabilities"].size(), info.capabilities.size());
    EXPECT_EQ(value["protect"].size(), info.protect.size());
    for (std::string_view name : info.capabilities)
      EXPECT_THAT(spec::all_capabilities(), Contains(name));
  }
}

}  // namespace
}  // namespace caisson
