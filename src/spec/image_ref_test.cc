#include "spec/image_ref.h"

#include <gtest/gtest.h>

namespace caisson::spec {
namespace {

using namespace std::string_literals;

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string canonical_of(std::string_view text) {
  const Result<ImageRef> ref = parse_image_ref(text);
  return ref ? canonical(*ref) : ref.error().reason;
}

Error refused(std::string_view text) {
  const Result<ImageRef> ref = parse_image_ref(text);
  EXPECT_FALSE(ref) << text;
  if (ref) return {};
  EXPECT_EQ(ref.error().reason, "reference_invalid");
  EXPECT_EQ(ref.error().message.find('\n'), std::string::npos);
  return ref.error();
}

TEST(ImageRef, CanonicalForms) {
  const std::pair<std::string, std::string> table[] = {
      {"alpine", "docker.io/library/alpine:latest"},
      {"alpine:3.20", "docker.io/library/alpine:3.20"},
      {"user/name", "docker.io/user/name:latest"},
      {"docker.io/alpine", "docker.io/library/alpine:latest"},
      {"index.docker.io/alpine", "docker.io/library/alpine:latest"},
      {"docker.io/library/alpine:1", "docker.io/library/alpine:1"},
      {"localhost/x", "localhost/x:latest"},
      {"localhost:5000/x:y", "localhost:5000/x:y"},
      {"host:5000/x", "host:5000/x:latest"},
      {"host:5000", "docker.io/library/host:5000"},
      {"127.0.0.1:5000/test/debian:1", "127.0.0.1:5000/test/debian:1"},
      {"[::1]:5000/a", "[::1]:5000/a:latest"},
      {"[fe80::1]/a/b:c", "[fe80::1]/a/b:c"},
      {"a.b/c", "a.b/c:latest"},
      {"Foo.example/c", "Foo.example/c:latest"},
      {"ghcr.io/a/b/c/d:_T.-", "ghcr.io/a/b/c/d:_T.-"},
      {"a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest"},
      {"alpine@" + kDigest, "docker.io/library/alpine@" + kDigest},
      {"alpine:3@" + kDigest, "docker.io/library/alpine@" + kDigest}};
  for (const auto& [text, wanted] : table) EXPECT_EQ(canonical_of(text), wanted) << text;
}

TEST(ImageRef, KeepsTheTagBesideADigest) {
  const ImageRef ref = parse_image_ref("alpine:3@" + kDigest).value();
  EXPECT_EQ(ref.tag, "3");
  EXPECT_EQ(ref.digest, kDigest);
  EXPECT_EQ(parse_image_ref("alpine@" + kDigest).value().tag, "");
}

TEST(ImageRef, Refuses) {
  for (const std::string& bad : {""s,
                                 "/"s,
                                 "a/"s,
                                 "/a"s,
                                 "a//b"s,
                                 ":a"s,
                                 "a:"s,
                                 "a@"s,
                                 "@"s,
                                 "a:-x"s,
                                 "a:.x"s,
                                 "a:b:c"s,
                                 "a b"s,
                                 "a\n"s,
                                 "a\0b"s,
                                 "-a"s,
                                 "a-"s,
                                 "a..b/c"s,
                                 "a/b..c"s,
                                 "a___b"s,
                                 "a._b"s,
                                 "../x"s,
                                 "a/../b"s,
                                 "\xc3\xa4"s,
                                 "host:99999/x"s,
                                 "host:0/x"s,
                                 "host:x/y"s,
                                 "host:/y"s,
                                 "[::1/x"s,
                                 "[]/x"s,
                                 "[g]/x"s,
                                 "[::1]x/y"s,
                                 "-h.example/x"s,
                                 "h-.example/x"s,
                                 ".example/x"s,
                                 "a@sha256:abc"s,
                                 "a@sha512:" + std::string(128, 'a'),
                                 "a@" + kDigest + "@" + kDigest,
                                 "a@sha256:" + std::string(64, 'A'),
                                 std::string(64, 'a'),
                                 "docker.io/"s})
    EXPECT_FALSE(refused(bad).message.empty()) << bad;
}

TEST(ImageRef, UpperCaseGetsAHint) {
  EXPECT_EQ(refused("Alpine").hint, "did you mean 'alpine'?");
  EXPECT_EQ(refused("docker.io/Foo/Bar:X").hint, "did you mean 'foo/bar'?");
}

TEST(ImageRef, Limits) {
  EXPECT_EQ(canonical_of("h.example/" + std::string(255, 'a')),
            "h.example/" + std::string(255, 'a') + ":latest");
  refused("h.example/" + std::string(256, 'a'));
  refused(std::string(248, 'a'));  // library/ counts
  EXPECT_TRUE(parse_image_ref("a:" + std::string(128, 't')));
  refused("a:" + std::string(129, 't'));
  refused(std::string(300, 'd') + ".example/a");
  refused(std::string(10'000'000, 'a'));
}

TEST(ImageRef, Familiar) {
  const std::pair<std::string, std::string> table[] = {
      {"docker.io/library/alpine:3", "alpine:3"},
      {"user/name", "user/name:latest"},
      {"docker.io/library/a/b", "library/a/b:latest"},
      {"docker.io/localhost/x", "docker.io/localhost/x:latest"},
      {"ghcr.io/x/y:1", "ghcr.io/x/y:1"},
      {"alpine@" + kDigest, "alpine@" + kDigest}};
  for (const auto& [text, wanted] : table) {
    const ImageRef ref = parse_image_ref(text).value();
    EXPECT_EQ(familiar(ref), wanted);
    EXPECT_EQ(canonical(parse_image_ref(familiar(ref)).value()), canonical(ref));
  }
}

TEST(Digest, OnlySha256) {
  EXPECT_TRUE(is_digest(kDigest));
  EXPECT_EQ(hex_of(kDigest), std::string(64, 'a'));
  for (const std::string& bad :
       {""s, "sha256:"s, kDigest + "a", kDigest.substr(1), "sha256:" + std::string(64, 'g'),
        "sha256:../" + std::string(61, 'a')})
    EXPECT_FALSE(is_digest(bad)) << bad;
}

}  // namespace
}  // namespace caisson::spec
