#include <gtest/gtest.h>

#include <limits>

#include "caisson/spec.h"

namespace caisson {
namespace {

using namespace std::chrono_literals;

template <class T>
void expect_fault(const Result<T>& result, std::string_view reason, std::string_view input,
                  Code code = Code::kInvalidArgument) {
  ASSERT_FALSE(result) << input;
  EXPECT_EQ(result.error().reason, reason) << input;
  EXPECT_EQ(result.error().code, code) << input;
  EXPECT_NE(result.error().message.find('\''), std::string::npos) << result.error().message;
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos) << result.error().message;
}

TEST(ParseSize, Good) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"1b", 1},
      {"1k", 1024},
      {"1K", 1024},
      {"64m", 64ull << 20},
      {"1g", 1ull << 30},
      {"1.5g", 3ull << 29},
      {"2t", 2ull << 40},
      {"1kb", 1024},
      {"1KiB", 1024},
      {"1GiB", 1ull << 30},
      {"0.5k", 512},
      {"1.0", 1},
      {"007", 7},
      {"18446744073709551615", std::numeric_limits<std::uint64_t>::max()},
      {"16777215.999t", 18446742974197923840ull + 1098412116148ull}};
  for (const auto& [text, bytes] : cases) {
    const auto size = parse_size(text);
    ASSERT_TRUE(size) << text << ": " << size.error().message;
    EXPECT_EQ(*size, bytes) << text;
  }
}

TEST(ParseSize, Bad) {
  for (const char* bad : {"",
                          "m",
                          "-1",
                          "+1",
                          " 1",
                          "1 ",
                          "1 m",
                          "1.",
                          ".5m",
                          "1..5m",
                          "1.5",
                          "1.5b",
                          "1bb",
                          "1bib",
                          "1mm",
                          "1mib5",
                          "1p",
                          "0x10",
                          "1e3",
                          "1,5m",
                          "18446744073709551616",
                          "16777216t",
                          "99999999999999999999999g",
                          "1.0000000000000000001m",
                          "1m\n",
                          "nan",
                          "inf"})
    expect_fault(parse_size(bad), "size_invalid", bad);
  expect_fault(parse_size(std::string_view("1\0m", 3)), "size_invalid", "NUL");
}

TEST(ParseDuration, Good) {
  const std::pair<const char*, std::chrono::nanoseconds> cases[] = {
      {"1s", 1s},
      {"250ms", 250ms},
      {"1m30s", 90s},
      {"2h", 2h},
      {"1.5", 1500ms},
      {"3", 3s},
      {"1h2m3s4ms5us6ns", 1h + 2min + 3s + 4ms + 5us + 6ns},
      {"0.25h", 15min},
      {"0", 0s},
      {"9223372036854775807ns", std::chrono::nanoseconds::max()}};
  for (const auto& [text, duration] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, duration) << text;
  }
}

TEST(ParseDuration, Bad) {
  for (const char* bad :
       {"", "s", "-1s", "+1s", "1 s", " 1s", "1s ", "1m30", "1d", "1.s", ".5s", "1.5.5s", "1sm",
        "1S", "1e3s", "9223372036854775808ns", "2562048h", "9223372036s9223372036s", "1s\n"})
    expect_fault(parse_duration(bad), "duration_invalid", bad);
}

TEST(ParseOutputLimit, GoodAndBad) {
  EXPECT_EQ(parse_output_limit("10m").value(),
            (OutputLimit{10u << 20, OutputAction::kStopCollecting}));
  EXPECT_EQ(parse_output_limit("1k:kill").value(), (OutputLimit{1024, OutputAction::kKill}));
  EXPECT_EQ(parse_output_limit("0:stop-collecting").value(), (OutputLimit{0, {}}));
  for (const char* bad : {"", "kill", ":kill", "1k:", "1k:die", "1k:kill:kill", "1x:kill"})
    expect_fault(parse_output_limit(bad), "output_limit_invalid", bad);
}

TEST(ParseWords, Isolation) {
  EXPECT_EQ(parse_isolation("container").value(), Isolation::kContainer);
  EXPECT_EQ(parse_isolation("process").value(), Isolation::kProcess);
  EXPECT_EQ(parse_isolation("host").value(), Isolation::kUnsafeHost);
  for (const char* later : {"confidential"}) {
    expect_fault(parse_isolation(later), "isolation_unknown", later, Code::kUnimplemented);
    EXPECT_NE(parse_isolation(later).error().message.find("is not in this version"),
              std::string::npos);
  }
  expect_fault(parse_isolation("contaner"), "isolation_unknown", "contaner");
  EXPECT_EQ(parse_isolation("contaner").error().hint, "did you mean 'container'?");
  expect_fault(parse_isolation(""), "isolation_unknown", "");
}

TEST(ParseWords, ProfileAndNetwork) {
  for (Profile profile : {Profile::kMinimal, Profile::kStandard, Profile::kFull})
    EXPECT_EQ(parse_profile(to_string(profile)).value(), profile);
  for (Network network : {Network::kNone, Network::kUnsafeHostNetwork})
    EXPECT_EQ(parse_network(to_string(network)).value(), network);
  EXPECT_EQ(to_string(Network::kUnsafeHostNetwork), "host");
  expect_fault(parse_profile("standart"), "profile_unknown", "standart");
  EXPECT_EQ(parse_profile("standart").error().hint, "did you mean 'standard'?");
  EXPECT_EQ(parse_profile("x").error().hint, "known values: minimal, standard, full");
  expect_fault(parse_network("bridge"), "network_unknown", "bridge");
  expect_fault(parse_network("filtered"), "network_unknown", "filtered", Code::kUnimplemented);
  expect_fault(parse_network("public"), "network_unknown", "public", Code::kUnimplemented);
}

TEST(ParseWords, PullPolicyAndRootfsStrategy) {
  for (const char* word : {"missing", "always", "never"})
    EXPECT_EQ(to_string(parse_pull_policy(word).value()), word);
  for (const char* word : {"overlay", "merged", "disk"})
    EXPECT_EQ(to_string(parse_rootfs_strategy(word).value()), word);
  EXPECT_EQ(parse_pull_policy("allways").error().reason, "pull_policy_unknown");
  EXPECT_EQ(parse_pull_policy("allways").error().hint, "did you mean 'always'?");
  EXPECT_EQ(parse_rootfs_strategy("").error().reason, "rootfs_unknown");
}

}  // namespace
}  // namespace caisson
