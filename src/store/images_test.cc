#include "store/images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unit_test_support.h"
#include "store/schema.h"

namespace caisson::store {
namespace {

using testing::ElementsAre;

ImageRow image(const std::string& id, const std::vector<std::string>& chains,
               std::vector<std::string> names = {}) {
  ImageRow row{.id = "sha256:" + id,
               .config_digest = "sha256:c" + id,
               .os = "linux",
               .architecture = "amd64",
               .variant = {},
               .created = "2026-01-02T03:04:05Z",
               .pulled_ns = 5,
               .used_ns = 5,
               .names = std::move(names),
               .layers = {},
               .blobs = {}};
  for (const std::string& chain : chains) {
    row.layers.push_back(
        {"sha256:" + chain, "sha256:d" + chain, "sha256:f" + chain, "tar", 10, 8192});
    row.blobs.push_back({"sha256:d" + chain, 10});
  }
  return row;
}

Result<> everything_there() { return {}; }

class ImageStateTest : public testing::Test {
 protected:
  TestDirectory home_;
  State state_ = *State::open(home_ / "home");
  ImageState images_{state_};

  Result<> publish(const ImageRow& row) { return images_.publish({row}, everything_there); }
  Result<> box(const std::string& id, const std::string& of) {
    return state_.insert({.id = id, .state = "configured", .created_ns = 77, .image = of});
  }
};

TEST_F(ImageStateTest, RowsComeBackWhole) {
  const ImageRow row = image("a", {"1", "2"}, {"docker.io/library/a:1"});
  ASSERT_TRUE(publish(row));
  EXPECT_EQ(*images_.find(row.id), row);
  EXPECT_EQ(images_.list()->size(), 1u);
  EXPECT_EQ(*images_.named("docker.io/library/a:1"), row.id);
  EXPECT_EQ(*images_.find("sha256:b"), std::nullopt);
}

TEST_F(ImageStateTest, NothingIsVisibleWhenSomethingIsNotInItsPlace) {
  const auto missing = []() -> Result<> {
    return make_error(Code::kAborted, "image_vanished", "publish image: a layer has gone");
  };
  EXPECT_FALSE(images_.publish({image("a", {"1"})}, missing));
  EXPECT_TRUE(images_.list()->empty());
  EXPECT_TRUE(publish(image("a", {"1"})));
}

TEST_F(ImageStateTest, APulledNameMoves) {
  ASSERT_TRUE(publish(image("a", {"1"}, {"x:1"})));
  ASSERT_TRUE(publish(image("b", {"1", "2"}, {"x:1"})));
  EXPECT_EQ(*images_.named("x:1"), "sha256:b");
  EXPECT_TRUE((*images_.find("sha256:a"))->names.empty());
}

TEST_F(ImageStateTest, BeginningsOfManifestAndConfiguration) {
  ASSERT_TRUE(publish(image("aa11", {"1"})));
  ASSERT_TRUE(publish(image("aa22", {"1"})));
  EXPECT_THAT(*images_.beginning("sha256:aa1"), ElementsAre("sha256:aa11"));
  EXPECT_THAT(*images_.beginning("sha256:caa2"), ElementsAre("sha256:aa22"));
  EXPECT_EQ(images_.beginning("sha256:aa")->size(), 2u);
}

TEST_F(ImageStateTest, SharedBytesAreNobodysOwn) {
  ASSERT_TRUE(publish(image("a", {"1", "2"})));
  ASSERT_TRUE(publish(image("b", {"1", "3"})));
  const ImageUse use = *images_.use("sha256:a");
  EXPECT_EQ(use.size, 20u);
  EXPECT_EQ(use.disk_bytes, 2 * 4096u + 2 * 8192u);
  EXPECT_EQ(use.own_bytes, 4096u + 8192u);
}

TEST_F(ImageStateTest, ABoxHoldsItsImageAndUsesIt) {
  ASSERT_TRUE(publish(image("a", {"1"}, {"x:1"})));
  ASSERT_TRUE(box("01", "sha256:a"));
  EXPECT_EQ((*images_.find("sha256:a"))->used_ns, 77);
  const auto refused = images_.remove("sha256:a", {"x:1"}, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "image_in_use");
  EXPECT_EQ(*images_.named("x:1"), "sha256:a");
  EXPECT_FALSE(*images_.drop_unused("sha256:a", true));

  const auto forced = images_.remove("sha256:a", {"x:1"}, true);
  EXPECT_THAT(forced->untagged, ElementsAre("x:1"));
  EXPECT_FALSE(forced->deleted);
  EXPECT_EQ(*images_.drop_marked("sha256:a"), std::nullopt);
  ASSERT_TRUE(*state_.erase("01"));
  EXPECT_EQ((*images_.drop_marked("sha256:a"))->layers.size(), 1u);
  EXPECT_TRUE(images_.list()->empty());
}

TEST_F(ImageStateTest, ABoxOfARemovedImageIsNotMade) {
  const auto made = box("01", "sha256:a");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().reason, "image_not_found");
  EXPECT_TRUE(state_.list()->empty());
}

TEST_F(ImageStateTest, CollectingSeesWhatIsNamedAndForgetsOtherTrees) {
  ASSERT_TRUE(publish(image("a", {"1"})));
  ASSERT_TRUE(publish(image("b", {"2"})));
  ASSERT_TRUE(*images_.drop_unused("sha256:b", false));
  const auto look = [](const Referenced& referenced) -> Result<> {
    EXPECT_THAT(referenced.chains, ElementsAre("sha256:1"));
    EXPECT_THAT(referenced.blobs, ElementsAre("sha256:d1"));
    return {};
  };
  ASSERT_TRUE(images_.collect(look));
  EXPECT_EQ(*images_.disk_bytes("sha256:1"), 8192u);
  EXPECT_EQ(*images_.disk_bytes("sha256:2"), std::nullopt);
}

TEST(SchemaTwo, AHomeOfTheFirstVersionIsBroughtUpToDate) {
  const TestDirectory home;
  ASSERT_TRUE(State::open(home / "home"));
  {
    Database old = *Database::open(home / "home/db/state.db");
    ASSERT_TRUE(old.execute(
        "DROP TABLE image_blobs; DROP TABLE image_layers; DROP TABLE image_names; DROP TABLE "
        "images;"
        "DROP TABLE volumes; DROP TRIGGER volume_user_gone; DROP TABLE volume_users;"
        "DROP TABLE layers; DROP TRIGGER box_gone; DROP TABLE snapshots; DROP TABLE box_layers;"
        "ALTER TABLE boxes DROP COLUMN generation; DROP INDEX boxes_by_image; ALTER TABLE boxes "
        "DROP COLUMN image;"
        "ALTER TABLE boxes DROP COLUMN rootfs_json; PRAGMA user_version=1;"
        "INSERT INTO boxes VALUES "
        "('01',NULL,'stopped',1,NULL,NULL,NULL,NULL,'',0,'','','','','{}')"));
  }
  State state = *State::open(home / "home");
  const auto rows = state.list();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().image, "");
  EXPECT_TRUE(ImageState(state).list()->empty());
}

}  // namespace
}  // namespace caisson::store
