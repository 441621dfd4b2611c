#include "fetch/placed.h"

#include <gtest/gtest.h>

#include "spec/oci.h"

namespace caisson::fetch {
namespace {

std::string diff_id(char digit) { return "sha256:" + std::string(64, digit); }

const std::vector<std::string> kDiffIds = {diff_id('a'), diff_id('b'), diff_id('c')};
const std::vector<std::string> kChains = spec::chain_ids(kDiffIds);

image::UnpackRequest request() {
  image::UnpackRequest made;
  made.layer.digest = diff_id('0');
  made.layer.diff_id = kDiffIds[2];
  made.layer.chain_id = kChains[2];
  made.below = {kDiffIds[0], kDiffIds[1]};
  return made;
}

TEST(Placed, parents_are_nearest_first) {
  image::UnpackRequest placed = request();
  ASSERT_TRUE(place_layer(placed));
  EXPECT_EQ(placed.layer.parents, (std::vector<std::string>{kChains[1], kChains[0]}));

  image::UnpackRequest lowest = request();
  lowest.layer.diff_id = lowest.layer.chain_id = kDiffIds[0];
  lowest.below.clear();
  ASSERT_TRUE(place_layer(lowest));
  EXPECT_TRUE(lowest.layer.parents.empty());
}

TEST(Placed, no_other_layers_can_be_put_below) {
  const auto refused = [](auto change) {
    image::UnpackRequest changed = request();
    change(changed);
    return !place_layer(changed);
  };
  EXPECT_TRUE(refused([](auto& r) { r.below = {}; }));
  EXPECT_TRUE(refused([](auto& r) { r.below = {kDiffIds[1], kDiffIds[0]}; }));
  EXPECT_TRUE(refused([](auto& r) { r.below.push_back(kDiffIds[2]); }));
  EXPECT_TRUE(refused([](auto& r) { r.layer.chain_id = kChains[1]; }));
  EXPECT_TRUE(refused([](auto& r) { r.layer.diff_id = kDiffIds[1]; }));
  EXPECT_TRUE(refused([](auto& r) { r.layer.parents = {kChains[1], kChains[0]}; }));
}

}  // namespace
}  // namespace caisson::fetch
