#include "spec/auth_challenge.h"

#include <gtest/gtest.h>

namespace caisson::spec {
namespace {

using Challenges = std::vector<Challenge>;

TEST(AuthChallenge, WhatRegistriesSend) {
  EXPECT_EQ(parse_challenges(
                R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
                R"(scope="repository:library/alpine:pull,push")"),
            (Challenges{{"bearer",
                         {{"realm", "https://auth.docker.io/token"},
                          {"service", "registry.docker.io"},
                          {"scope", "repository:library/alpine:pull,push"}}}}));
  EXPECT_EQ(parse_challenges("Basic realm=\"Registry Realm\""),
            (Challenges{{"basic", {{"realm", "Registry Realm"}}}}));
  EXPECT_EQ(parse_challenges("BEARER Realm = \"x\" , ERROR=invalid_token"),
            (Challenges{{"bearer", {{"realm", "x"}, {"error", "invalid_token"}}}}));
}

TEST(AuthChallenge, Several) {
  const Challenges wanted = {{"basic", {{"realm", "a"}}}, {"bearer", {{"realm", "b"}, {"x", "1"}}}};
  EXPECT_EQ(parse_challenges(R"(Basic realm="a", Bearer realm="b", x=1)"), wanted);
  EXPECT_EQ(parse_challenges(R"(,, Basic realm=a ,,, Bearer realm=b,x=1,)"), wanted);
  EXPECT_EQ(parse_challenges("Negotiate, Basic realm=a"),
            (Challenges{{"negotiate", {}}, {"basic", {{"realm", "a"}}}}));
  EXPECT_EQ(parse_challenges("NTLM YWJj/+==, Basic realm=a"),
            (Challenges{{"ntlm", {}}, {"basic", {{"realm", "a"}}}}));
  EXPECT_EQ(parse_challenges("Basic realm=a, NTLM"),
            (Challenges{{"basic", {{"realm", "a"}}}, {"ntlm", {}}}));
}

TEST(AuthChallenge, QuotedStrings) {
  EXPECT_EQ(parse_challenges(R"(Basic realm="a\"b\\c,d=e")"),
            (Challenges{{"basic", {{"realm", "a\"b\\c,d=e"}}}}));
  EXPECT_EQ(parse_challenges(R"(Basic realm="")"), (Challenges{{"basic", {{"realm", ""}}}}));
  EXPECT_EQ(parse_challenges(R"(Basic realm="a", realm="b")"),
            (Challenges{{"basic", {{"realm", "a"}}}}));
}

TEST(AuthChallenge, NonsenseEndsTheReading) {
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges(" , ,").empty());
  EXPECT_TRUE(parse_challenges("\"x\"").empty());
  EXPECT_TRUE(parse_challenges("=").empty());
  EXPECT_EQ(parse_challenges("Basic realm=\"open"), (Challenges{{"basic", {}}}));
  EXPECT_EQ(parse_challenges("Basic realm=\"a\nb\""), (Challenges{{"basic", {}}}));
  EXPECT_EQ(parse_challenges("Bearer realm=\"a\" service=\"b\""),
            (Challenges{{"bearer", {{"realm", "a"}}}}));
  EXPECT_EQ(parse_challenges("Bearer realm=\"a\\"), (Challenges{{"bearer", {}}}));
}

TEST(AuthChallenge, IsBounded) {
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "Basic realm=a,";
  EXPECT_LE(parse_challenges(many).size(), 16u);
  std::string wide = "Bearer ";
  for (int i = 0; i < 1000; ++i) wide += "p" + std::to_string(i) + "=1,";
  ASSERT_EQ(parse_challenges(wide).size(), 1u);
  EXPECT_EQ(parse_challenges(wide)[0].parameters.size(), 32u);
  parse_challenges("Bearer realm=\"" + std::string(10'000'000, '\\'));
}

}  // namespace
}  // namespace caisson::spec
