#include "sys/cgroup_layout.h"

#include <gtest/gtest.h>

namespace caisson::sys {
namespace {

using enum Controller;

constexpr std::string_view kSystemdV2 =
    "24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n"
    "30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "33 25 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";

constexpr std::string_view kSystemdHybrid =
    "31 22 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 "
    "cgroup2 rw\n"
    "33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup "
    "rw,xattr,name=systemd\n"
    "36 31 0:32 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup "
    "rw,memory\n"
    "37 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:16 - cgroup "
    "cgroup "
    "rw,cpu,cpuacct\n"
    "38 31 0:34 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup "
    "rw,pids\n";

constexpr std::string_view kHybridSelf =
    "4:cpu,cpuacct:/user.slice\n3:pids:/user.slice/user-1000.slice\n"
    "2:memory:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n"
    "0::/user.slice/user-1000.slice/session-3.scope\n";

// A development machine: every v1 controller on its own mount, v2 with hugetlb alone.
constexpr std::string_view kSplitV1 =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
    "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(CgroupLayout, PureV2Host) {
  const CgroupLayout layout = parse_cgroup_layout(
      kSystemdV2, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope\n",
      "cpuset cpu io memory hugetlb pids rdma misc\n");
  ASSERT_EQ(layout.hierarchies.size(), 1u);
  const CgroupHierarchy& h = layout.hierarchies[0];
  EXPECT_EQ(h.version, 2);
  EXPECT_EQ(h.mount, "/sys/fs/cgroup");
  EXPECT_EQ(h.own, "/user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope");
  EXPECT_EQ(h.controllers, (ControllerSet{kMemory, kPids, kCpu, kCpuacct, kFreezer, kIo}));
  EXPECT_FALSE(h.read_only);
}

TEST(CgroupLayout, HybridPutsV1First) {
  const CgroupLayout layout = parse_cgroup_layout(kSystemdHybrid, kHybridSelf, "");
  ASSERT_NE(layout.find(kCpu), nullptr);
  EXPECT_EQ(layout.find(kCpu), layout.find(kCpuacct)) << "co-mounted";
  EXPECT_EQ(layout.find(kCpu)->mount, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(layout.find(kCpu)->own, "/user.slice");
  EXPECT_EQ(layout.find(kMemory)->version, 1);
  EXPECT_EQ(layout.find(kPids)->own, "/user.slice/user-1000.slice");
  ASSERT_NE(layout.find(kFreezer), nullptr) << "the v2 core offers what v1 does not";
  EXPECT_EQ(layout.find(kFreezer)->version, 2);
  EXPECT_EQ(layout.find(kIo), nullptr);
}

TEST(CgroupLayout, SplitV1LeavesAnEmptyV2Out) {
  const CgroupLayout layout = parse_cgroup_layout(
      kSplitV1, "8:pids:/\n6:freezer:/\n4:memory:/jobs/a\n2:cpuacct:/\n1:cpu:/\n0::/\n",
      "hugetlb\n");
  EXPECT_EQ(layout.hierarchies.size(), 6u);
  for (Controller c : kAllControllers) {
    ASSERT_NE(layout.find(c), nullptr) << to_string(c);
    EXPECT_EQ(layout.find(c)->version, 1) << to_string(c);
  }
  EXPECT_EQ(layout.find(kMemory)->own, "/jobs/a");
  EXPECT_EQ(layout.find(kPids)->own, "");
  EXPECT_EQ(layout.find(kIo)->mount, "/sys/fs/cgroup/blkio");
}

TEST(CgroupLayout, ContainerSeesASubtreeReadOnly) {
  const CgroupLayout layout = parse_cgroup_layout(
      "812 808 0:33 /docker/4f2a /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:16 - "
      "cgroup cgroup rw,memory\n",
      "9:memory:/docker/4f2a/inner\n");
  ASSERT_EQ(layout.hierarchies.size(), 1u);
  EXPECT_TRUE(layout.hierarchies[0].read_only);
  EXPECT_EQ(layout.hierarchies[0].own, "/inner");
}

TEST(CgroupLayout, OwnGroupOutsideOfTheMountIsUnknown) {
  const auto own = [](std::string_view root, std::string_view self) {
    const std::string mount = "50 40 0:33 " + std::string(root) + " /cg rw - cgroup2 cgroup2 rw\n";
    return parse_cgroup_layout(mount, "0::" + std::string(self) + "\n", "memory")
        .hierarchies.at(0)
        .own;
  };
  EXPECT_EQ(own("/", "/"), "");
  EXPECT_EQ(own("/a", "/a"), "");
  EXPECT_EQ(own("/a", "/a/b"), "/b");
  EXPECT_EQ(own("/a", "/ab"), std::nullopt);
  EXPECT_EQ(own("/a", "/"), std::nullopt);
  EXPECT_EQ(own("/", "/../other"), std::nullopt);
  EXPECT_EQ(own("/../..", "/"), std::nullopt) << "the names between are not visible to us";
}

TEST(CgroupLayout, EscapesAndRepeatedMounts) {
  const CgroupLayout layout = parse_cgroup_layout(
      "50 40 0:33 /docker/x /inner rw - cgroup cgroup rw,pids\n"
      "51 40 0:33 / /my\\040groups\\134x rw - cgroup cgroup rw,pids\n",
      "3:pids:/\n");
  ASSERT_EQ(layout.hierarchies.size(), 1u);
  EXPECT_EQ(layout.hierarchies[0].mount, "/my groups\\x");
}

TEST(CgroupLayout, RubbishIsIgnored) {
  EXPECT_TRUE(parse_cgroup_layout("", "").hierarchies.empty());
  EXPECT_TRUE(
      parse_cgroup_layout("1 2 3\n - cgroup\n- cgroup2 x y\n\n", "::::\nx").hierarchies.size() <=
      1);
  EXPECT_EQ(parse_cgroup_layout("", "").why_not(kMemory),
            "this host has no memory cgroup controller");
}

TEST(CgroupLayout, DetectNamesABaseOrTheReason) {
  const auto layout = detect_cgroups();
  ASSERT_TRUE(layout) << layout.error().message;
  for (const CgroupHierarchy& h : layout->hierarchies)
    EXPECT_NE(h.base.empty(), h.unusable.empty()) << h.mount;
}

}  // namespace
}  // namespace caisson::sys
