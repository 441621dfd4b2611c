#include "store/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unit_test_support.h"
#include "store/snapshots.h"

namespace caisson::store {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

BoxRow box(const std::string& id, const std::string& name = {}) {
  BoxRow row;
  row.id = id;
  row.name = name;
  row.state = "stopped";
  row.spec_json = "{}";
  return row;
}

VolumeRow volume(const std::string& name, std::int64_t created_ns = 5) {
  return {name, "id-of-" + name, created_ns, R"({"a":"b"})", {}, {}};
}

class Volumes : public testing::Test {
 protected:
  std::vector<std::string> names() {
    std::vector<std::string> list;
    const std::vector<VolumeRow> rows = volumes_.list().value();
    for (const VolumeRow& row : rows) list.push_back(row.name);
    return list;
  }
  std::vector<std::string> users(const std::string& name) {
    return volumes_.find(name).value().value().users;
  }

  TestDirectory home_;
  State state_ = *State::open(home_.path());
  SnapshotState snapshots_{state_, home_ / "layers"};
  VolumeState volumes_{state_};
};

TEST_F(Volumes, RowsComeBackWhole) {
  VolumeRow limited = volume("limited");
  limited.size_bytes = std::uint64_t{1} << 40;
  ASSERT_TRUE(volumes_.insert(limited));
  ASSERT_TRUE(volumes_.insert(volume("a")));
  EXPECT_EQ(**volumes_.find("limited"), limited);
  EXPECT_EQ(**volumes_.find("a"), volume("a"));
  EXPECT_FALSE(volumes_.find("A")->has_value());
  EXPECT_THAT(names(), ElementsAre("a", "limited"));
}

TEST_F(Volumes, ANameIsTakenOnce) {
  ASSERT_TRUE(volumes_.insert(volume("a", 1)));
  EXPECT_EQ(volumes_.insert(volume("a", 2)).error().reason, "volume_exists");
  EXPECT_EQ((**volumes_.find("a")).created_ns, 1);
}

TEST_F(Volumes, ABoxMakesWhatIsMissingAndUsesWhatIsThere) {
  ASSERT_TRUE(volumes_.insert(volume("there", 1)));
  ASSERT_TRUE(state_.insert(box("b1"), {{volume("there", 9), volume("new", 9)}}));
  ASSERT_TRUE(state_.insert(box("b0"), {{volume("there", 10)}}));
  EXPECT_EQ((**volumes_.find("there")).created_ns, 1);
  EXPECT_THAT(users("there"), ElementsAre("b0", "b1"));
  EXPECT_THAT(users("new"), ElementsAre("b1"));
  ASSERT_TRUE(state_.erase("b1").value());
  EXPECT_THAT(users("there"), ElementsAre("b0"));
  EXPECT_THAT(users("new"), IsEmpty()) << "the volume itself stays";
}

TEST_F(Volumes, ABoxThatIsRefusedMakesNone) {
  ASSERT_TRUE(state_.insert(box("b1", "name")));
  EXPECT_EQ(state_.insert(box("b2", "name"), {{volume("a")}}).error().reason, "name_taken");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Volumes, OnlyNewOnes) {
  ASSERT_TRUE(volumes_.insert(volume("there")));
  const BoxVolumes both{{volume("new"), volume("there")}, true};
  EXPECT_EQ(snapshots_.insert_boxes({box("b")}, {}, both).error().reason, "volume_exists");
  EXPECT_THAT(names(), ElementsAre("there"));
  EXPECT_FALSE(state_.find("b")->has_value());
  ASSERT_TRUE(snapshots_.insert_boxes({box("b")}, {}, {{volume("new")}, true}));
  EXPECT_THAT(users("new"), ElementsAre("b"));
}

TEST_F(Volumes, ForksUseTheSame) {
  ASSERT_TRUE(snapshots_.insert_boxes({box("b1"), box("b2")}, {}, {{volume("a")}}));
  EXPECT_THAT(users("a"), ElementsAre("b1", "b2"));
}

TEST_F(Volumes, RemovalIsRefusedWhileBoxesUseIt) {
  ASSERT_TRUE(
      snapshots_.insert_boxes({box("b1"), box("b2"), box("b3"), box("b4")}, {}, {{volume("a")}}));
  Error error = volumes_.remove("a").error();
  EXPECT_EQ(error.reason, "volume_in_use");
  EXPECT_EQ(error.message, "remove volume 'a': boxes 'b1', 'b2', 'b3' and 1 more use it");
  for (const char* id : {"b2", "b3", "b4"}) ASSERT_TRUE(state_.erase(id).value());
  error = volumes_.remove("a").error();
  EXPECT_EQ(error.message, "remove volume 'a': box 'b1' uses it");
  ASSERT_TRUE(state_.erase("b1").value());
  ASSERT_TRUE(volumes_.remove("a"));
  error = volumes_.remove("a").error();
  EXPECT_EQ(error.reason, "volume_not_found");
  EXPECT_THAT(error.message, AllOf(HasSubstr("'a'"), HasSubstr("there is none")));
}

TEST_F(Volumes, PruningLeavesWhatIsUsedOrYoung) {
  ASSERT_TRUE(state_.insert(box("b"), {{volume("used", 1)}}));
  for (const auto& [name, created] : {std::pair("old", 1), {"older", 0}, {"young", 3}})
    ASSERT_TRUE(volumes_.insert(volume(name, created)));
  EXPECT_THAT(volumes_.remove_unused(2).value(), ElementsAre("old", "older"));
  EXPECT_THAT(names(), ElementsAre("used", "young"));
  EXPECT_THAT(volumes_.remove_unused(2).value(), IsEmpty());
}

}  // namespace
}  // namespace caisson::store
