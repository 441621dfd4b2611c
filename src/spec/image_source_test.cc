#include <gtest/gtest.h>

#include "spec/image_ref.h"

namespace caisson::spec {
namespace {

using namespace std::string_literals;

ImageSource path(SourceType type, std::string where, std::string name = {}) {
  return {type, std::move(where), std::move(name), {}};
}

Error refused(std::string_view text) {
  const Result<ImageSource> source = parse_source(text);
  EXPECT_FALSE(source) << text;
  return source ? Error{} : source.error();
}

TEST(ImageSource, Kinds) {
  EXPECT_EQ(parse_source("host:").value(), ImageSource{});
  EXPECT_EQ(parse_source("dir:/a:b").value(), path(SourceType::kDirectory, "/a:b"));
  EXPECT_EQ(parse_source("oci:/a").value(), path(SourceType::kOciDirectory, "/a"));
  EXPECT_EQ(parse_source("oci:/a:1.0").value(), path(SourceType::kOciDirectory, "/a", "1.0"));
  EXPECT_EQ(parse_source("oci-archive:x.tar:a/b:c").value(),
            path(SourceType::kOciArchive, "x.tar", "a/b:c"));
  EXPECT_EQ(parse_source("docker-archive:/x.tar:alpine:3").value(),
            path(SourceType::kDockerArchive, "/x.tar", "alpine:3"));
  for (const char* text : {"docker://alpine:3.20", "alpine:3.20"}) {
    const ImageSource source = parse_source(text).value();
    EXPECT_EQ(source.type, SourceType::kRegistry);
    EXPECT_EQ(canonical(source.ref), "docker.io/library/alpine:3.20");
  }
  EXPECT_EQ(parse_source("host:5000/x").value().ref.domain, "host:5000");
  EXPECT_EQ(parse_source("docker://host:x").value().ref.repository, "library/host");
  EXPECT_EQ(parse_source("oci/x").value().ref.repository, "oci/x");
}

TEST(ImageSource, Slips) {
  const std::pair<std::string, std::string> table[] = {
      {"dokcer://alpine", "did you mean 'docker://'?"},
      {"dri:/x", "did you mean 'dir:'?"},
      {"hots:", "did you mean 'host:'?"},
      {"HOST:", "did you mean 'host:'?"},
      {"ocl:/x", "did you mean 'oci:'?"},
      {"oci-archvie:/x", "did you mean 'oci-archive:'?"},
      {"/srv/rootfs",
       "did you mean 'dir:/srv/rootfs' (a root file system) or 'oci:/srv/rootfs' (an image)?"},
      {"./x", "did you mean 'dir:./x' (a root file system) or 'oci:./x' (an image)?"}};
  for (const auto& [text, hint] : table) {
    EXPECT_EQ(refused(text).reason, "source_unknown") << text;
    EXPECT_EQ(refused(text).hint, hint) << text;
  }
  EXPECT_NE(refused("https://x/y").hint.find("docker://"), std::string::npos);
  EXPECT_NE(refused("").hint.find("known sources"), std::string::npos);
}

TEST(ImageSource, Refuses) {
  for (const std::string& bad : {""s, "host"s, "dir"s, "oci"s, "host:x"s, "dir:"s, "oci:"s,
                                 "oci::x"s, "file:///x"s, "nowhere://x"s, "://"s})
    EXPECT_EQ(refused(bad).reason, "source_unknown") << bad;
  for (const std::string& bad : {"docker://"s, "docker:///x"s, "docker://X"s, "Alpine"s, "a b"s,
                                 "oci:/x:"s, "oci:/x:a b"s, "docker-archive:/x:A"s})
    EXPECT_EQ(refused(bad).reason, "reference_invalid") << bad;
  EXPECT_EQ(refused("dir:/a\0b"s).reason, "nul_byte");
}

}  // namespace
}  // namespace caisson::spec
