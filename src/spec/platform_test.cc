#include <gtest/gtest.h>

#include "spec/image_ref.h"

namespace caisson::spec {
namespace {

TEST(Platform, MadeAlike) {
  const std::pair<const char*, const char*> table[] = {{"linux/amd64", "linux/amd64"},
                                                       {"amd64", "linux/amd64"},
                                                       {"x86_64", "linux/amd64"},
                                                       {"Linux/X86-64", "linux/amd64"},
                                                       {"linux/amd64/v1", "linux/amd64"},
                                                       {"linux/amd64/v3", "linux/amd64/v3"},
                                                       {"arm64", "linux/arm64/v8"},
                                                       {"aarch64", "linux/arm64/v8"},
                                                       {"linux/arm64/8", "linux/arm64/v8"},
                                                       {"arm", "linux/arm/v7"},
                                                       {"linux/arm/6", "linux/arm/v6"},
                                                       {"armel", "linux/arm/v6"},
                                                       {"i386", "linux/386"},
                                                       {"macos/arm64", "darwin/arm64/v8"},
                                                       {"windows/amd64", "windows/amd64"},
                                                       {"linux/later", "linux/later"}};
  for (const auto& [text, wanted] : table) {
    const Result<Platform> platform = parse_platform(text);
    ASSERT_TRUE(platform) << text;
    EXPECT_EQ(to_string(*platform), wanted) << text;
    EXPECT_EQ(parse_platform(to_string(*platform)).value(), *platform);
  }
  EXPECT_EQ(parse_platform("linux").value(), host_platform());
  EXPECT_EQ(parse_platform("amd46").error().hint, "did you mean 'amd64'?");
}

TEST(Platform, Refuses) {
  for (const char* bad :
       {"", "/", "linux/", "/amd64", "a/b/c/d", "linux/a b", "linux//v8", "vax", "linux/\xc3\xa4"})
    EXPECT_EQ(parse_platform(bad).error().reason, "platform_invalid") << bad;
}

TEST(Platform, Fits) {
  const auto fit = [](const char* wanted, const char* offered) {
    return fits(parse_platform(wanted).value(), parse_platform(offered).value());
  };
  EXPECT_TRUE(fit("amd64", "linux/amd64"));
  EXPECT_TRUE(fit("arm64", "linux/arm64/v8"));
  EXPECT_TRUE(fit("linux/amd64/v3", "amd64"));
  EXPECT_TRUE(fit("arm", "linux/arm/v6"));
  EXPECT_FALSE(fit("linux/arm/v6", "linux/arm/v7"));
  EXPECT_FALSE(fit("amd64", "windows/amd64"));
  EXPECT_FALSE(fit("amd64", "386"));
}

}  // namespace
}  // namespace caisson::spec
