#include "cli/image_text.h"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using Pair = std::pair<std::string, std::string>;

TEST(IsImage, AllButHostAndDirectories) {
  for (const char* source : {"alpine", "alpine:3.20", "docker://a", "oci:/x", "oci-archive:/x",
                             "docker-archive:/x", "host:5000/a"}) {
    EXPECT_TRUE(is_image(source)) << source;
  }
  EXPECT_FALSE(is_image("host:"));
  EXPECT_FALSE(is_image("dir:/srv"));
  EXPECT_TRUE(is_registry_image("host:5000/a"));
  EXPECT_TRUE(is_registry_image("docker://a"));
  EXPECT_FALSE(is_registry_image("oci:/x"));
  EXPECT_FALSE(is_registry_image("host:"));
}

TEST(AbsoluteSource, PathsOnly) {
  EXPECT_EQ(absolute_source("dir:.", "/w"), "dir:/w/.");
  EXPECT_EQ(absolute_source("oci:a:tag", "/w"), "oci:/w/a:tag");
  EXPECT_EQ(absolute_source("oci-archive:a.tar", "/w"), "oci-archive:/w/a.tar");
  EXPECT_EQ(absolute_source("docker-archive:a.tar", "/w"), "docker-archive:/w/a.tar");
  EXPECT_EQ(absolute_source("docker-archive:/a.tar", "/w"), "docker-archive:/a.tar");
  EXPECT_EQ(absolute_source("oci:", "/w"), "oci:");
  EXPECT_EQ(absolute_source("alpine", "/w"), "alpine");
}

TEST(FamiliarName, IsReadAsTheSameName) {
  EXPECT_EQ(familiar_name("docker.io/library/alpine:3.20"), "alpine:3.20");
  EXPECT_EQ(familiar_name("docker://alpine:3.20"), "alpine:3.20");
  EXPECT_EQ(familiar_name("docker.io/grafana/loki:1"), "grafana/loki:1");
  EXPECT_EQ(familiar_name("docker.io/library/a/b:1"), "library/a/b:1");
  EXPECT_EQ(familiar_name("docker.io/a.b/c:1"), "docker.io/a.b/c:1");
  EXPECT_EQ(familiar_name("docker.io/localhost/c:1"), "docker.io/localhost/c:1");
  EXPECT_EQ(familiar_name("127.0.0.1:5000/test/debian:1"), "127.0.0.1:5000/test/debian:1");
  EXPECT_EQ(familiar_name("host:"), "host:");
}

TEST(NameAndTag, ColonsOfPortsAreNone) {
  EXPECT_EQ(name_and_tag("docker.io/library/alpine:3.20"), Pair("alpine", "3.20"));
  EXPECT_EQ(name_and_tag("h:5000/a/b:1"), Pair("h:5000/a/b", "1"));
  EXPECT_EQ(name_and_tag("h:5000/a"), Pair("h:5000/a", ""));
  EXPECT_EQ(name_and_tag("h:5000/a@sha256:0123456789abcdef"),
            Pair("h:5000/a", "sha256:0123456789ab"));
}

TEST(ParseTime, Rfc3339) {
  EXPECT_EQ(parse_time("1970-01-02T00:00:00Z"), 86'400'000'000'000);
  EXPECT_EQ(parse_time("2024-05-01T12:00:00.123456789Z"), 1'714'564'800'000'000'000);
  EXPECT_EQ(parse_time("2024-05-01T14:00:00+02:00"), 1'714'564'800'000'000'000);
  EXPECT_EQ(parse_time("2024-05-01T10:30:00-01:30"), 1'714'564'800'000'000'000);
  for (const char* bad : {"", "yesterday", "2024-05-01", "2024-05-01T12:00:00", "2024-05-01T12:00Z",
                          "2024-05-01T12:00:00+2", "9999-05-01T12:00:00Z"}) {
    EXPECT_EQ(parse_time(bad), std::nullopt) << bad;
  }
}

TEST(NameMatches, FamiliarOrWholeWithOrWithoutTag) {
  const std::string name = "docker.io/library/alpine:3.20";
  for (const char* glob : {"alpine", "alpine:3.20", "alp*", "alpine:3.*", "docker.io/*/alpine",
                           "docker.io/library/alpine:3.20"}) {
    EXPECT_TRUE(name_matches(name, glob)) << glob;
  }
  for (const char* glob : {"debian", "alpine:3.19", "docker.io/*", "lpine"}) {
    EXPECT_FALSE(name_matches(name, glob)) << glob;
  }
}

TEST(TotalOnDisk, SharedLayersCountOnce) {
  const ImageLayer base{.digest = "a", .chain_id = "x", .size = 5000, .disk_bytes = 100'000};
  const ImageLayer own{.digest = "b", .chain_id = "y", .size = 1, .disk_bytes = 4096};
  ImageInfo first;
  first.layers = {base};
  first.disk_bytes = 8192 + 100'000 + 8192;
  ImageInfo second;
  second.layers = {base, own};
  second.disk_bytes = first.disk_bytes + 4096 + 4096;
  EXPECT_EQ(total_on_disk({first, second}), second.disk_bytes + 8192u);
  EXPECT_EQ(total_on_disk({}), 0u);
}

}  // namespace
}  // namespace caisson::cli
