#include "container/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace caisson::container {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::uint32_t kFirst = 0x70000000;

Facts root_facts() { return {.root = true, .unified_cgroup = true}; }
Facts user_facts() { return {.uid = 1000, .gid = 1000}; }
Facts user_with_ranges(std::uint32_t count) {
  Facts facts = user_facts();
  facts.subuids = facts.subgids = {{0, 100000, count}};
  return facts;
}

BoxSpec spec_of(Profile profile = Profile::kStandard) {
  BoxSpec spec;
  spec.source = "host:";
  spec.command = {"true"};
  spec.profile = profile;
  return spec;
}

Rootfs host_rootfs() {
  return {.lowers = {"/cache/host"},
          .views = {{"/usr"}, {"/etc/ssl/certs"}},
          .private_tmp = true,
          .workdir = "/workspace"};
}

Plan plan_of(const BoxSpec& spec, const Facts& facts, const Rootfs& rootfs = host_rootfs()) {
  return make_plan(spec, rootfs, facts, "/home/boxes/id", facts.root ? kFirst : 0).value();
}

std::vector<std::string> lines_of(const Plan& plan) {
  std::vector<std::string> lines;
  std::istringstream in(describe(plan));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

template <class T>
std::vector<T> steps_of(const Plan& plan) {
  std::vector<T> found;
  for (const Step& step : plan.steps)
    if (const T* one = std::get_if<T>(&step)) found.push_back(*one);
  return found;
}

/// CAISSON_UPDATE_GOLDEN=1 writes the files anew, for review.
void expect_golden(const std::string& name, const Plan& plan) {
  const std::string path = format("{}/golden/plan_{}.txt", CAISSON_TEST_DATA, name);
  const std::string actual = describe(plan);
  if (std::getenv("CAISSON_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
  std::stringstream expected;
  expected << std::ifstream(path).rdbuf();
  EXPECT_EQ(actual, expected.str()) << name;
}

TEST(PlanGolden, RootWithTheStandardProfile) {
  expect_golden("root_standard", plan_of(spec_of(), root_facts()));
}

TEST(PlanGolden, UserWithRangesAndManyWishes) {
  BoxSpec spec = spec_of(Profile::kFull);
  spec.hostname = "builder";
  spec.network = Network::kUnsafeHostNetwork;
  spec.limits.tmpfs_bytes = 4u << 20;
  spec.mounts = {
      {.source = "/data", .target = "/in", .read_only = true},
      {.source = "/out", .target = "/out"},
      {.type = MountType::kTmpfs, .target = "/t", .size_bytes = 65536, .inodes = 7, .mode = 0700}};
  expect_golden("user_full", plan_of(spec, user_with_ranges(65536), {.lowers = {"/a", "/b"}}));
}

TEST(PlanGolden, UserWithOneIdAndTheMinimalProfile) {
  BoxSpec spec = spec_of(Profile::kMinimal);
  spec.user = "1000";
  Facts facts = user_facts();
  facts.user_uid = facts.user_gid = 1000;
  expect_golden("user_minimal", plan_of(spec, facts));
}

TEST(Plan, IdsOfRootAreTheClaimedRange) {
  EXPECT_EQ(plan_of(spec_of(), root_facts()).ids, (Ids{kFirst, 0, 65536}));
}

TEST(Plan, IdsOfAUserAreItsOwnAndTheSubordinateOnes) {
  EXPECT_EQ(plan_of(spec_of(), user_with_ranges(65536)).ids, (Ids{0, 0, 65536}));
  EXPECT_EQ(plan_of(spec_of(), user_with_ranges(1000)).ids, (Ids{0, 0, 1001}));
  EXPECT_EQ(plan_of(spec_of(), user_with_ranges(UINT32_MAX)).ids.count, 65536u);
  Facts uneven = user_with_ranges(1000);
  uneven.subgids = {{0, 5, 10}, {0, 50, 10}};
  EXPECT_EQ(plan_of(spec_of(), uneven).ids.count, 21u) << "both kinds must have the id";
  uneven.subgids.clear();
  EXPECT_EQ(plan_of(spec_of(), uneven).ids.count, 1u) << "without group ids there is one only";
}

TEST(Plan, ASingleIdIsTheOneThatIsWanted) {
  for (std::uint32_t id : {0u, 33u, 1000u}) {
    Facts facts = user_facts();
    facts.user_uid = id;
    EXPECT_EQ(plan_of(spec_of(), facts).ids, (Ids{0, id, 1}));
  }
}

TEST(Plan, AUserWhoOwnsAVolumeIsSwappedWithTheBoxesRoot) {
  Facts facts = user_with_ranges(65536);
  facts.user_uid = 1000;
  facts.user_gid = 50;
  facts.swap_ids = true;
  const Plan plan = plan_of(spec_of(), facts);
  EXPECT_EQ(plan.ids.uid_outside(1000), 0u);
  EXPECT_EQ(plan.ids.root_uid(), 1000u);
  EXPECT_EQ(plan.ids.gid_outside(50), 0u);
  EXPECT_EQ(plan.ids.root_gid(), 50u);
  EXPECT_EQ(plan.ids.uid_outside(7), 7u);
  bool owned = false;
  for (const MountFs& mount : steps_of<MountFs>(plan))
    for (const auto& [key, value] : mount.options)
      owned = owned || (key == "uid" && value == "1000");
  EXPECT_TRUE(owned) << "what is made for the box belongs to its root";
}

TEST(Plan, ProtectedPathsComeAfterTheMountsTheyAreIn) {
  Facts facts = root_facts();
  facts.protections = {{{"/w/.git"}, "/w/.git/hooks", false}, {{}, "/w/.mcp.json", true}};
  facts.protected_in_root = {"/etc/x"};
  BoxSpec spec = spec_of();
  spec.mounts = {{.source = "/s", .target = "/w"}};
  const auto lines = lines_of(plan_of(spec, facts));
  const auto at = [&](const std::string& line) {
    return std::ranges::find(lines, line) - lines.begin();
  };
  EXPECT_LT(at("bind /s on /w (rw,nosuid,nodev,idmapped,owner=user)"), at("protect /w/.git/hooks"));
  EXPECT_LT(at("protect /w/.git/hooks"), at("protect /w/.mcp.json (absent)"));
  EXPECT_LT(at("protect /w/.mcp.json (absent)"), at("protect /etc/x"));
  EXPECT_LT(at("protect /etc/x"), at("change root"));
}

TEST(Plan, SupplementaryGroupsNeedIds) {
  BoxSpec spec = spec_of();
  spec.groups = {"video"};
  const auto refused = make_plan(spec, host_rootfs(), user_facts(), "/d", 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "ids_unavailable");
  EXPECT_THAT(refused.error().hint, HasSubstr("/etc/subuid"));
  EXPECT_TRUE(make_plan(spec, host_rootfs(), user_with_ranges(10), "/d", 0));
  EXPECT_TRUE(make_plan(spec, host_rootfs(), root_facts(), "/d", kFirst));
}

TEST(Plan, ProfilesChooseCapabilitiesAndPrivileges) {
  const Plan minimal = plan_of(spec_of(Profile::kMinimal), root_facts());
  const Plan standard = plan_of(spec_of(), root_facts());
  const Plan full = plan_of(spec_of(Profile::kFull), root_facts());
  EXPECT_EQ(minimal.capabilities, 0u);
  EXPECT_EQ(sys::capability_names(standard.capabilities).size(), 14u);
  EXPECT_EQ(full.capabilities, standard.capabilities);
  for (int forbidden : {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_NET_ADMIN, CAP_SYS_MODULE, CAP_BPF,
                        CAP_DAC_READ_SEARCH, CAP_SYS_RESOURCE})
    EXPECT_EQ(full.capabilities & sys::cap_bit(forbidden), 0u) << forbidden;
  EXPECT_TRUE(minimal.no_new_privileges && standard.no_new_privileges);
  EXPECT_FALSE(full.no_new_privileges);
}

TEST(Plan, ReadOnlyRoot) {
  BoxSpec spec = spec_of();
  EXPECT_FALSE(std::get<ChangeRoot>(plan_of(spec, root_facts()).steps.back()).read_only);
  spec.read_only_root = true;
  EXPECT_TRUE(std::get<ChangeRoot>(plan_of(spec, root_facts()).steps.back()).read_only);
  EXPECT_TRUE(std::get<ChangeRoot>(plan_of(spec_of(Profile::kMinimal), root_facts()).steps.back())
                  .read_only);
}

TEST(Plan, MountsAreMadeInTheOrderGivenAndBeforeMasks) {
  BoxSpec spec = spec_of();
  spec.mounts = {{.source = "/one", .target = "/m", .read_only = true},
                 {.source = "/two", .target = "/m/x"}};
  const auto lines = lines_of(plan_of(spec, root_facts()));
  const auto at = [&](std::string_view beginning) {
    return std::ranges::find_if(lines,
                                [&](const auto& line) { return line.starts_with(beginning); }) -
           lines.begin();
  };
  EXPECT_LT(at("mount root"), at("bind /one on /m (ro,"));
  EXPECT_LT(at("bind /one"), at("bind /two on /m/x (rw,nosuid,nodev,idmapped,owner=user)"));
  EXPECT_LT(at("bind /two"), at("mask /proc/kcore")) << "a volume over /proc cannot lift a mask";
  EXPECT_LT(at("mask /proc/kcore"), at("change root"));
  EXPECT_EQ(at("change root") + 3, static_cast<std::ptrdiff_t>(lines.size()));
}

TEST(Plan, OnlyRootMapsIdsAndMakesDeviceNodes) {
  for (const bool root : {true, false}) {
    BoxSpec spec = spec_of();
    spec.mounts = {{.source = "/s", .target = "/t"}};
    const Plan plan = plan_of(spec, root ? root_facts() : user_with_ranges(65536));
    for (const MountRoot& mount : steps_of<MountRoot>(plan)) EXPECT_EQ(mount.map_ids, root);
    for (const MountBind& mount : steps_of<MountBind>(plan)) EXPECT_EQ(mount.map_ids, root);
    const auto nodes = steps_of<DeviceNode>(plan);
    EXPECT_EQ(nodes.size(), 6u);
    for (const DeviceNode& node : nodes) EXPECT_EQ(node.bind, !root);
  }
}

TEST(Plan, NoMountLetsSetuidOrUnknownDevicesIn) {
  for (const auto& facts : {root_facts(), user_facts(), user_with_ranges(65536)}) {
    BoxSpec spec = spec_of();
    spec.mounts = {{.source = "/s", .target = "/t"}, {.type = MountType::kTmpfs, .target = "/x"}};
    const Plan plan = plan_of(spec, facts);
    for (const MountBind& mount : steps_of<MountBind>(plan))
      EXPECT_TRUE(mount.flags.nosuid && mount.flags.nodev) << mount.target;
    for (const MountFs& mount : steps_of<MountFs>(plan)) {
      EXPECT_TRUE(mount.flags.nosuid) << mount.target;
      EXPECT_EQ(mount.flags.nodev, mount.target != "/dev" && mount.target != "/dev/pts")
          << mount.target;
    }
  }
}

TEST(Plan, HostNetwork) {
  BoxSpec spec = spec_of();
  EXPECT_EQ(steps_of<RaiseLoopback>(plan_of(spec, root_facts())).size(), 1u);
  EXPECT_EQ(steps_of<WriteSysctl>(plan_of(spec, root_facts())).size(), 2u);
  spec.network = Network::kUnsafeHostNetwork;
  const Plan plan = plan_of(spec, user_facts());
  EXPECT_FALSE(plan.network_namespace);
  EXPECT_TRUE(steps_of<RaiseLoopback>(plan).empty());
  EXPECT_TRUE(steps_of<WriteSysctl>(plan).empty()) << "these would be the host's own";
  EXPECT_THAT(lines_of(plan), Contains(StartsWith("bind /sys on /sys (ro,")));
  EXPECT_THAT(lines_of(plan_of(spec, root_facts())),
              Contains(StartsWith("mount sysfs on /sys (ro,")));
}

TEST(Plan, CgroupViewOnlyWhereControllersAreUnified) {
  EXPECT_THAT(lines_of(plan_of(spec_of(), root_facts())), Contains(StartsWith("mount cgroup2")));
  EXPECT_THAT(lines_of(plan_of(spec_of(), user_facts())), Not(Contains(HasSubstr("cgroup2"))));
}

TEST(Plan, EveryTmpfsHasCaps) {
  BoxSpec spec = spec_of();
  spec.limits.tmpfs_inodes = 99;
  spec.mounts = {{.type = MountType::kTmpfs, .target = "/a"},
                 {.type = MountType::kTmpfs, .target = "/b", .size_bytes = 4096}};
  int seen = 0;
  for (const MountFs& mount : steps_of<MountFs>(plan_of(spec, root_facts()))) {
    if (mount.type != "tmpfs") continue;
    ++seen;
    EXPECT_EQ(mount.options[0].first, "size");
    EXPECT_GT(std::stoull(mount.options[0].second), 0u) << mount.target;
    EXPECT_EQ(mount.options[1].first, "nr_inodes");
    EXPECT_GT(std::stoull(mount.options[1].second), 0u) << mount.target;
  }
  EXPECT_EQ(seen, 5) << "/dev, /dev/shm, /tmp and the two asked for";
}

}  // namespace
}  // namespace caisson::container
