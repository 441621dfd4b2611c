#include "vm/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::vm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

backend::StartRequest image_box() {
  backend::StartRequest box;
  box.spec.source = "oci:x";
  box.rootfs.disk = "/disk";
  box.rootfs.lowers = {"layer"};
  box.rootfs.lower_parent = "/layers";
  return box;
}

TEST(SharesTest, AnImageAloneNeedsNone) {
  backend::StartRequest box = image_box();
  box.spec.mounts = {{.type = MountType::kTmpfs, .target = "/t"}};
  EXPECT_FALSE(needs_shares(box));
  box.spec.mounts.push_back({.source = "/s", .target = "/w"});
  EXPECT_TRUE(needs_shares(box));
  box = image_box();
  box.spec.source = "host:";
  EXPECT_TRUE(needs_shares(box));
  box.trial.emplace();
  EXPECT_FALSE(needs_shares(box));
  box.spec.mounts.push_back({.source = "/canary", .target = "/canary"});
  EXPECT_TRUE(needs_shares(box));
}

TEST(SharesTest, BindsAreNestedAsInTheBox) {
  backend::StartRequest box = image_box();
  box.spec.mounts = {
      {.source = "/s", .target = "/w", .idmap = IdMapping::kRequire},
      {.type = MountType::kVolume, .source = "/v", .target = "/w/deep", .read_only = true},
      {.type = MountType::kTmpfs, .target = "/t"}};
  const Shared shared = share(box, "5:6");
  EXPECT_EQ(shared.server.user, "5:6");
  EXPECT_EQ(shared.server.network, Network::kNone);
  ASSERT_EQ(shared.server.mounts.size(), 2u);
  EXPECT_EQ(shared.server.mounts[0],
            (Mount{.source = "/s", .target = "/share/mounts/w", .idmap = IdMapping::kRequire}));
  EXPECT_EQ(shared.server.mounts[1], (Mount{.type = MountType::kVolume,
                                            .source = "/v",
                                            .target = "/share/mounts/w/deep",
                                            .read_only = true}));
  ASSERT_EQ(shared.guest.mounts.size(), 3u);
  EXPECT_EQ(shared.guest.mounts[1], (Mount{.source = "/run/caisson/share/mounts/w/deep",
                                           .target = "/w/deep",
                                           .read_only = true,
                                           .idmap = IdMapping::kOff}));
  EXPECT_EQ(shared.guest.mounts[2], box.spec.mounts[2]);
  EXPECT_THAT(shared.views, IsEmpty());
  EXPECT_EQ(shared.rootfs, box.rootfs);
}

TEST(SharesTest, EachProtectsWhatItHas) {
  backend::StartRequest box = image_box();
  box.spec.mounts = {{.source = "/s", .target = "/w"}};
  box.spec.mounts.push_back({.type = MountType::kTmpfs, .target = "/w/t"});
  box.spec.protect = {".git/", "/w/x", "/w", "/w/t/y", "/etc/passwd"};
  const Shared shared = share(box, "0:0");
  EXPECT_THAT(shared.server.protect, ElementsAre(".git/", "/share/mounts/w/x", "/share/mounts/w"));
  EXPECT_EQ(shared.server.protect_defaults, std::nullopt);
  EXPECT_THAT(shared.guest.protect, ElementsAre("/w/t/y", "/etc/passwd"));
  EXPECT_EQ(shared.guest.protect_defaults, false);
  // What the tmpfs covers of the bind is not served.
  EXPECT_EQ(shared.server.mounts.back(),
            (Mount{.type = MountType::kTmpfs, .target = "/share/mounts/w/t", .read_only = true}));
}

TEST(SharesTest, ARootOfDirectoriesIsReadOnly) {
  backend::StartRequest box;
  box.rootfs.lowers = {"/tree", "name"};
  box.rootfs.lower_parent = "/parent";
  box.rootfs.views = {{"/usr"}};
  const Shared shared = share(box, "0:0");
  EXPECT_THAT(shared.server.mounts, IsEmpty());
  const std::vector<HostView> shown = {{"/tree", "/share/lowers/0", true},
                                       {"/parent/name", "/share/lowers/1", true},
                                       {"/usr", "/share/views/usr", false}};
  EXPECT_EQ(shared.shown, shown);
  EXPECT_THAT(shared.rootfs.lowers,
              ElementsAre("/run/caisson/share/lowers/0", "/run/caisson/share/lowers/1"));
  EXPECT_THAT(shared.views, ElementsAre("/usr"));
}

TEST(SharesTest, AUserByNumbersNeedsNoImage) {
  BoxSpec spec;
  EXPECT_EQ(*user_by_numbers(spec, {}), "0:0");
  spec.user = "7:8";
  EXPECT_EQ(*user_by_numbers(spec, {}), "7:8");
  spec.user = "somebody";
  EXPECT_FALSE(user_by_numbers(spec, {}));
}

}  // namespace
}  // namespace caisson::vm
