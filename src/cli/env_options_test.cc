#include "cli/env_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace caisson::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Environment, ValuesKeepTheirEqualsSigns) {
  Environment env;
  ASSERT_TRUE(add_variable(env, "A=b=c"));
  ASSERT_TRUE(add_variable(env, "E="));
  EXPECT_THAT(env, ElementsAre(Pair("A", "b=c"), Pair("E", "")));
}

TEST(Environment, OnlyNamedVariablesAreCopied) {
  ::setenv("CAISSON_TEST_SECRET", "s", 1);
  ::unsetenv("CAISSON_TEST_ABSENT");
  Environment env;
  ASSERT_TRUE(add_variable(env, "CAISSON_TEST_ABSENT"));
  EXPECT_THAT(env, IsEmpty());
  ASSERT_TRUE(add_variable(env, "CAISSON_TEST_SECRET"));
  EXPECT_THAT(env, ElementsAre(Pair("CAISSON_TEST_SECRET", "s")));
}

TEST(Environment, FilesHaveCommentsAndBlankLines) {
  Environment env;
  ASSERT_TRUE(add_variables(env, "# c\n\n  A=1\r\nB= two # no comment\nC=3", "f"));
  EXPECT_THAT(env, ElementsAre(Pair("A", "1"), Pair("B", " two # no comment"), Pair("C", "3")));
}

TEST(Environment, AFaultNamesItsLine) {
  Environment env;
  auto added = add_variables(env, "A=1\n=2\n", "f.env");
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().reason, "env_invalid");
  EXPECT_THAT(added.error().message, HasSubstr("line 2 of 'f.env'"));
}

TEST(Environment, OptionsWinOverFiles) {
  const std::string path = testing::TempDir() + "caisson.env";
  std::ofstream(path) << "A=file\nB=file\n";
  EnvironmentOptions options{{path}, {"A=option"}};
  EXPECT_THAT(*options.resolve(), ElementsAre(Pair("A", "option"), Pair("B", "file")));
}

}  // namespace
}  // namespace caisson::cli
