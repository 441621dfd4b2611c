#include "store/snapshots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/unit_test_support.h"

namespace caisson::store {
namespace {

using testing::IsEmpty;

BoxRow box(const std::string& id) {
  BoxRow row;
  row.id = id;
  row.state = "stopped";
  row.spec_json = "{}";
  return row;
}

class Snapshots : public testing::Test {
 protected:
  TestDirectory home_;
  State state_ = *State::open(home_.path());
  SnapshotState snapshots_{state_, home_ / "layers"};
  const std::vector<BoxLayer> layers_ = {{"02", false, 10}, {"01", true, 20}};

  void SetUp() override {
    for (const char* layer : {"01", "02", "03"})
      std::filesystem::create_directories(home_ / ("layers/" + std::string(layer)));
    ASSERT_TRUE(state_.insert(box("a")));
    ASSERT_TRUE(state_.insert(box("b")));
  }
  static SnapshotRow row(const std::string& id, const std::string& of, const std::string& name,
                         std::vector<BoxLayer> layers = {}) {
    return {id, of, name, "", 5, std::move(layers)};
  }
};

TEST_F(Snapshots, LayersOfABoxComeBackInOrder) {
  EXPECT_TRUE(*snapshots_.set_layers("a", layers_, "g2"));
  EXPECT_EQ(*snapshots_.layers("a"), layers_);
  EXPECT_EQ((*state_.find("a"))->generation, "g2");
  EXPECT_TRUE(*snapshots_.set_layers("a", {}, "g3"));
  EXPECT_THAT(*snapshots_.layers("a"), IsEmpty());
  EXPECT_FALSE(*snapshots_.set_layers("gone", layers_, "g"));
  EXPECT_THAT(*snapshots_.layers("gone"), IsEmpty());
}

TEST_F(Snapshots, NamesAreUniqueInABox) {
  ASSERT_TRUE(snapshots_.insert(row("s1", "a", "n", layers_)));
  EXPECT_EQ(snapshots_.insert(row("s2", "a", "n")).error().reason, "snapshot_exists");
  ASSERT_TRUE(snapshots_.insert(row("s3", "b", "n")));
  EXPECT_EQ(snapshots_.insert(row("s4", "gone", "n")).error().reason, "box_not_found");
  EXPECT_EQ((*snapshots_.find("a", "n"))->id, "s1");
  EXPECT_EQ((*snapshots_.find("a", "s1"))->layers, layers_);
  EXPECT_FALSE((*snapshots_.find("a", "s3")).has_value());
  EXPECT_EQ(*snapshots_.box_of("s3"), "b");
  EXPECT_EQ(snapshots_.list("a")->size(), 1u);
}

TEST_F(Snapshots, EverythingGoesWithTheBox) {
  ASSERT_TRUE(*snapshots_.set_layers("a", {{"03", false, 1}}, "g"));
  ASSERT_TRUE(snapshots_.insert(row("s1", "a", "n", layers_)));
  EXPECT_EQ(snapshots_.all_layers("a")->size(), 3u);
  ASSERT_TRUE(*state_.erase("a"));
  EXPECT_THAT(*snapshots_.all_layers("a"), IsEmpty());
  EXPECT_THAT(*snapshots_.layers("s1"), IsEmpty());
  EXPECT_THAT(*snapshots_.list("a"), IsEmpty());
  ASSERT_TRUE(snapshots_.insert(row("s2", "b", "n", layers_)));
  EXPECT_TRUE(*snapshots_.erase("s2"));
  EXPECT_FALSE(*snapshots_.erase("s2"));
  EXPECT_THAT(*snapshots_.layers("s2"), IsEmpty());
}

TEST_F(Snapshots, LayersThatAreGoneAreNotNamed) {
  std::filesystem::remove(home_ / "layers/01");
  EXPECT_EQ(snapshots_.set_layers("a", layers_, "g").error().reason, "layer_vanished");
  EXPECT_EQ((*state_.find("a"))->generation, "");
  EXPECT_EQ(snapshots_.insert(row("s1", "a", "n", layers_)).error().reason, "layer_vanished");
  EXPECT_THAT(*snapshots_.list("a"), IsEmpty());
  EXPECT_EQ(snapshots_.insert_boxes({box("c")}, layers_).error().reason, "layer_vanished");
  EXPECT_FALSE((*state_.find("c")).has_value());
}

TEST_F(Snapshots, BoxesAreMadeAllOrNone) {
  ASSERT_TRUE(snapshots_.insert_boxes({box("c"), box("d")}, layers_));
  EXPECT_EQ(*snapshots_.layers("d"), layers_);
  EXPECT_FALSE(snapshots_.insert_boxes({box("e"), box("a")}, layers_));
  EXPECT_FALSE((*state_.find("e")).has_value());
  EXPECT_THAT(*snapshots_.layers("e"), IsEmpty());
  BoxRow imageless = box("f");
  imageless.image = "sha256:gone";
  EXPECT_EQ(snapshots_.insert_boxes({imageless}, {}).error().reason, "image_not_found");
}

}  // namespace
}  // namespace caisson::store
