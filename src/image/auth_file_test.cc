#include "image/auth_file.h"

#include <gtest/gtest.h>

namespace caisson::image {
namespace {

using namespace std::string_literals;
using nlohmann::json;

AuthFile file(const json& document) { return AuthFile::parse(document.dump()).value(); }

/// user1:pw1 and so on.
json entry(int n) {
  const char* encoded[] = {"dTA6cDA=", "dTE6cDE=", "dTI6cDI="};
  return {{"auth", encoded[n]}};
}

std::string user(const AuthFile& auth, const char* domain, const char* repository) {
  const auto found = auth.find(domain, repository);
  if (!found) return found.error().reason;
  return *found ? (*found)->username : "";
}

TEST(AuthFile, FindsDockersAndPodmansKeys) {
  for (const char* key : {"https://index.docker.io/v1/", "index.docker.io", "docker.io",
                          "https://index.docker.io/v2/", "registry-1.docker.io"})
    EXPECT_EQ(user(file({{"auths", {{key, entry(1)}}}}), "docker.io", "library/a"), "u1") << key;
  for (const char* key : {"h.example:5000", "https://h.example:5000", "http://h.example:5000/v2/",
                          "h.example:5000/v1/", "h.example:5000/"})
    EXPECT_EQ(user(file({{"auths", {{key, entry(1)}}}}), "h.example:5000", "a"), "u1") << key;
  EXPECT_EQ(user(file({{"auths", {{"h.example", entry(1)}}}}), "h.example:5000", "a"), "");
  EXPECT_EQ(user(file({{"auths", {{"h.example", entry(1)}}}}), "h.example.evil", "a"), "");
}

TEST(AuthFile, TheLongestKeyWins) {
  const AuthFile auth = file({{"auths",
                               {{"h.example", entry(0)},
                                {"h.example/team", entry(1)},
                                {"h.example/team/app", entry(2)}}}});
  EXPECT_EQ(user(auth, "h.example", "other"), "u0");
  EXPECT_EQ(user(auth, "h.example", "team/x"), "u1");
  EXPECT_EQ(user(auth, "h.example", "team/app"), "u2");
  EXPECT_EQ(user(auth, "h.example", "team/apple"), "u1");
  EXPECT_EQ(user(auth, "h.example", "teams"), "u0");
}

TEST(AuthFile, AllKindsOfCredentials) {
  const AuthFile auth = file({{"auths",
                               {{"a.b", {{"username", "u"}, {"password", "p:q"}}},
                                {"c.d", {{"auth", "dTE6cDE="}, {"identitytoken", "id"}}},
                                {"e.f", {{"registrytoken", "rt"}}},
                                {"g.h", json::object()},
                                {"i.j", {{"auth", "AA"}}},
                                {"k.l", {{"auth", "dTE="}}},
                                {"m.n", {{"username", "a\nb"}}}}}});
  EXPECT_EQ(auth.find("a.b", "x")->value(), (Credentials{"u", "p:q", "", ""}));
  EXPECT_EQ(auth.find("c.d", "x")->value(), (Credentials{"u1", "p1", "id", ""}));
  EXPECT_EQ(auth.find("e.f", "x")->value(), (Credentials{"", "", "", "rt"}));
  EXPECT_FALSE(auth.find("g.h", "x").value()) << "the mark of a helper";
  for (const char* bad : {"i.j", "k.l", "m.n"})
    EXPECT_EQ(user(auth, bad, "x"), "auth_file_invalid") << bad;
}

TEST(AuthFile, Helpers) {
  const AuthFile auth =
      file({{"credsStore", "all"},
            {"credHelpers", {{"h.example", "one"}, {"https://index.docker.io/v1/", "hub"}}}});
  EXPECT_EQ(auth.store(), "all");
  EXPECT_EQ(auth.helper("h.example", "x"), "one");
  EXPECT_EQ(auth.helper("docker.io", "x"), "hub");
  EXPECT_EQ(auth.helper("other", "x"), "");
}

TEST(AuthFile, KeepsWhatItDoesNotKnow) {
  AuthFile auth = file({{"HttpHeaders", {{"a", "b"}}},
                        {"auths", {{"https://index.docker.io/v1/", entry(0)}, {"x.y", entry(1)}}}});
  auth.set("docker.io", "docker.io", {"u", "p", "", ""}, false);
  auth.set("n.ew", "n.ew", {"u", "p", "", ""}, true);
  EXPECT_TRUE(auth.erase("x.y"));
  EXPECT_FALSE(auth.erase("x.y"));
  EXPECT_EQ(
      json::parse(auth.print()),
      json({{"HttpHeaders", {{"a", "b"}}},
            {"auths",
             {{"https://index.docker.io/v1/", {{"auth", "dTpw"}}}, {"n.ew", json::object()}}}}));
}

TEST(AuthFile, OneSpellingIsLeft) {
  AuthFile auth =
      file({{"auths", {{"docker.io", entry(0)}, {"https://index.docker.io/v1/", entry(1)}}}});
  auth.set("docker.io", "docker.io", {"u", "p", "", ""}, false);
  EXPECT_EQ(json::parse(auth.print()),
            json({{"auths", {{"https://index.docker.io/v1/", {{"auth", "dTpw"}}}}}}));
}

TEST(AuthFile, Refuses) {
  for (const std::string& bad : {"["s, "[]"s, "1"s, R"({"auths":[]})"s, R"({"credHelpers":"x"})"s,
                                 R"({"auths":{},"auths":{}})"s, std::string(100'000, '[')})
    EXPECT_EQ(AuthFile::parse(bad).error().reason, "auth_file_invalid") << bad.substr(0, 20);
  for (const char* fine : {"", " \n", "{}", R"({"auths":null,"credHelpers":null})",
                           R"({"auths":{"a":1},"credHelpers":{"a":1},"credsStore":1})"}) {
    const auto auth = AuthFile::parse(fine);
    ASSERT_TRUE(auth) << fine;
    EXPECT_EQ(user(*auth, "a", "b"), "");
    EXPECT_EQ(auth->helper("a", "b") + auth->store(), "");
  }
}

}  // namespace
}  // namespace caisson::image
