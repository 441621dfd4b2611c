#include "vm/accelerator.h"

#include <gtest/gtest.h>

#include "base/unit_test_support.h"

namespace caisson::vm {
namespace {

TEST(AcceleratorTest, IsRememberedForWhatItWasFoundWith) {
  const TestDirectory cache;
  EXPECT_EQ(known_accelerator(cache.path(), "a"), std::nullopt);
  remember_accelerator(cache.path(), "a", Accelerator::kKvm);
  EXPECT_EQ(known_accelerator(cache.path(), "a"), Accelerator::kKvm);
  EXPECT_EQ(known_accelerator(cache.path(), "b"), std::nullopt);
  remember_accelerator(cache.path(), "b", Accelerator::kTcg);
  EXPECT_EQ(known_accelerator(cache.path(), "b"), Accelerator::kTcg);
  EXPECT_EQ(known_accelerator(cache.path(), "a"), std::nullopt);
}

}  // namespace
}  // namespace caisson::vm
