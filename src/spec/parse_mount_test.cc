#include <gtest/gtest.h>

#include "caisson/spec.h"

namespace caisson {
namespace {

Mount bind(std::string source, std::string target, bool read_only = false) {
  return {.source = std::move(source), .target = std::move(target), .read_only = read_only};
}

Mount tmpfs(std::string target) { return {.type = MountType::kTmpfs, .target = std::move(target)}; }

template <class T>
std::string reason_of(const Result<T>& result) {
  return result ? "(no error)" : result.error().reason;
}

TEST(ParseMount, Bind) {
  for (const char* text : {"type=bind,source=/a,target=/b,readonly", "type=bind,src=/a,dst=/b,ro",
                           "type=bind,src=/a,destination=/b,readonly=true",
                           "readonly=1,target=/b/,source=//a,type=bind"})
    EXPECT_EQ(parse_mount(text).value(), bind("/a", "/b", true)) << text;
  EXPECT_EQ(parse_mount("type=bind,src=/a,dst=/b,ro=false").value(), bind("/a", "/b"));
  EXPECT_EQ(parse_mount("type=bind,src=/a=b,dst=/b").value(), bind("/a=b", "/b"));
}

TEST(ParseMount, Tmpfs) {
  Mount expected = tmpfs("/t");
  expected.size_bytes = 64u << 20;
  expected.mode = 01777;
  expected.inodes = 100;
  for (const char* text : {"type=tmpfs,target=/t,size=64m,mode=1777,inodes=100",
                           "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=01777,nr_inodes=100"})
    EXPECT_EQ(parse_mount(text).value(), expected) << text;
}

TEST(ParseMount, Bad) {
  for (const char* bad : {"",
                          ",",
                          "type=bind",
                          "source=/a,target=/b",
                          "type=bind,source=/a",
                          "type=bind,target=/b",
                          "type=bind,source=a,target=/b",
                          "type=bind,source=/a,target=b",
                          "type=,source=/a,target=/b",
                          "type=bind,source=/a,target=/b,target=/c",
                          "type=bind,source=/a,src=/a,target=/b",
                          "type=bind,source=/a,target=/b,",
                          "type=bind,source=/a,target=/b,readonly=maybe",
                          "type=bind,source=/a,target=/b,size=1m",
                          "type=bind,source=/a/../b,target=/b",
                          "type=bind,source=/a,target=/b/../c",
                          "type=bind,source=/a,target=/",
                          "type=bind,source=/a,target=/proc",
                          "type=tmpfs,target=/proc/x",
                          "type=tmpfs,target=/dev",
                          "type=tmpfs,target=//sys/",
                          "type=tmpfs,source=/a,target=/t",
                          "type=tmpfs,target=/t,size=0",
                          "type=tmpfs,target=/t,inodes=0",
                          "type=tmpfs,target=/t,size=18446744073709551615",
                          "type=tmpfs,target=/t,mode=8",
                          "type=tmpfs,target=/t,mode=77777",
                          "type=tmpfs,target=/t,mode",
                          "type=tmpfs,target=/t,inodes=x",
                          "type=bnd,source=/a,target=/b"})
    EXPECT_EQ(reason_of(parse_mount(bad)), "mount_invalid") << bad;
  EXPECT_EQ(parse_mount("type=image,source=v,target=/b").error().code, Code::kUnimplemented);
  EXPECT_EQ(parse_mount("type=bind,sorce=/a,target=/b").error().hint, "did you mean 'source'?");
  EXPECT_EQ(parse_mount("type=bnd").error().hint, "did you mean 'bind'?");
}

TEST(ParseMount, SharedMemoryCanBeReplaced) {
  EXPECT_TRUE(parse_mount("type=tmpfs,target=/dev/shm,size=1g"));
  EXPECT_FALSE(parse_mount("type=tmpfs,target=/dev/shmem"));
}

TEST(ParseVolume, Good) {
  EXPECT_EQ(parse_volume("/a:/b", "").value(), bind("/a", "/b"));
  EXPECT_EQ(parse_volume("/a/:/b/:ro", "").value(), bind("/a/", "/b", true));
  EXPECT_EQ(parse_volume("/a:/b:rw", "").value(), bind("/a", "/b"));
  EXPECT_EQ(parse_volume("./x:/b", "/home/me").value(), bind("/home/me/x", "/b"));
  EXPECT_EQ(parse_volume("../x/y:/b", "/home/me").value(), bind("/home/x/y", "/b"));
  EXPECT_EQ(parse_volume(".:/b", "/home/me").value(), bind("/home/me", "/b"));
  EXPECT_EQ(parse_volume("x/y:/b", "/home/me").value(), bind("/home/me/x/y", "/b"));
}

TEST(ParseVolume, Bad) {
  for (const char* bad :
       {"", "/a", "/a:", ":/b", "/a:b", "/a:/b:", "/a:/b:rx", "/a:/b:ro:ro", ":", "::"})
    EXPECT_EQ(reason_of(parse_volume(bad, "/base")), "volume_invalid") << bad;
  EXPECT_EQ(reason_of(parse_volume("./a:/b", "")), "volume_invalid");
  for (const char* bad : {"-data:/b", "da ta:/b", "/a:/b:idmap=on", "/a:/b:ro,rw", "/a:/b:ro,,"})
    EXPECT_EQ(reason_of(parse_volume(bad, "/base")), "volume_invalid") << bad;
}

TEST(ParseVolume, NamedAndMapped) {
  EXPECT_EQ(parse_volume("data:/b", "/base").value(),
            (Mount{.type = MountType::kVolume, .source = "data", .target = "/b"}));
  EXPECT_EQ(parse_mount("type=volume,source=data,target=/b,idmap=require").value(),
            (Mount{.type = MountType::kVolume,
                   .source = "data",
                   .target = "/b",
                   .idmap = IdMapping::kRequire}));
  Mount mapped = bind("/a", "/b", true);
  mapped.idmap = IdMapping::kOff;
  EXPECT_EQ(parse_volume("/a:/b:ro,idmap=off", "").value(), mapped);
  EXPECT_EQ(reason_of(parse_mount("type=tmpfs,target=/b,idmap=off")), "mount_invalid");
  EXPECT_EQ(reason_of(parse_mount("type=volume,source=..,target=/b")), "mount_invalid");
}

TEST(ParseTmpfs, GoodAndBad) {
  EXPECT_EQ(parse_tmpfs("/t").value(), tmpfs("/t"));
  Mount full = tmpfs("/t");
  full.size_bytes = 1u << 20;
  full.mode = 0700;
  full.inodes = 10;
  full.read_only = true;
  EXPECT_EQ(parse_tmpfs("/t/:size=1m,mode=700,inodes=10,ro").value(), full);
  EXPECT_EQ(parse_tmpfs("/t:rw").value(), tmpfs("/t"));
  for (const char* bad :
       {"", "t", ":size=1m", "/t:", "/t:size", "/t:size=", "/t:size=x", "/t:noexec", "/t:ro,rw",
        "/t:mode=9", "/t:size=1m,size=2m", "/t:type=bind"})
    EXPECT_EQ(reason_of(parse_tmpfs(bad)), "tmpfs_invalid") << bad;
  EXPECT_EQ(parse_tmpfs("/t:sise=1m").error().hint, "did you mean 'size'?");
}

}  // namespace
}  // namespace caisson
