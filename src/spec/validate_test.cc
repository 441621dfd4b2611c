#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "caisson/spec.h"

namespace caisson {
namespace {

using namespace std::string_literals;
using Change = std::function<void(BoxSpec&)>;

BoxSpec good() {
  BoxSpec spec;
  spec.source = "host:";
  spec.command = {"true"};
  return spec;
}

/// The reason for which a good spec with one change is refused; empty when it is not.
std::string refusal(const Change& change) {
  BoxSpec spec = good();
  change(spec);
  const Result<> result = validate(spec);
  if (result) return "";
  EXPECT_FALSE(result.error().message.empty());
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
  EXPECT_EQ(result.error().message.find('\0'), std::string::npos);
  return result.error().reason;
}

std::string refused_source(const std::string& source) {
  return refusal([&](BoxSpec& s) { s.source = source; });
}

TEST(Validate, AcceptsTheLeastAndAFullSpec) {
  EXPECT_TRUE(validate(good()));
  EXPECT_EQ(refusal([](BoxSpec& s) {
              s.name = "web-1_a.b";
              s.source = "dir:/srv/root fs";
              s.command = {"sh", "-c", "", "\xff\xfe"};
              s.env = {{"PATH", "/bin"}, {"EMPTY", ""}, {"bytes", "\xff"}};
              s.workdir = "/work/..x";
              s.user = "1000:staff";
              s.groups = {"audio", "65535"};
              s.hostname = "a-1.example";
              s.mounts = {{.source = "/", .target = "/mnt/host", .read_only = true},
                          {.type = MountType::kTmpfs, .target = "/mnt", .mode = 01777},
                          {.type = MountType::kTmpfs, .target = "/dev/shm"}};
              s.labels = {{"a=b", ""}};
              s.stop_signal = "SIGINT";
              s.allow_missing = {"memory", "tmpfs_inodes"};
              s.limits.cpus = 0.01;
              s.limits.file_size_bytes = 0;
            }),
            "");
}

TEST(Validate, Source) {
  for (const char* bad : {"", "host", "host:x", "dir:", "dir:a", "dir", "HOST:", "file:///x",
                          "/srv/rootfs", "oci:a", "oci-archive:a:b", "docker-archive:./x"})
    EXPECT_EQ(refused_source(bad), "source_unknown") << bad;
  for (const char* fine : {"alpine", "alpine:3.20", "docker://alpine", "oci:/x", "oci-archive:/x:y",
                           "docker-archive:/x"})
    EXPECT_EQ(refused_source(fine), "") << fine;
  EXPECT_EQ(refused_source("docker://X"), "reference_invalid");
  BoxSpec spec = good();
  spec.source = "hots:";
  EXPECT_EQ(validate(spec).error().hint, "did you mean 'host:'?");
  spec.source = "";
  EXPECT_NE(validate(spec).error().hint.find("dir:"), std::string::npos);
}

TEST(Validate, ImageOptions) {
  const auto image = [](const Change& change) {
    return refusal([&](BoxSpec& s) {
      s.source = "alpine";
      s.command = {};
      change(s);
    });
  };
  EXPECT_EQ(image([](BoxSpec&) {}), "") << "the image has a command";
  EXPECT_EQ(image([](BoxSpec& s) { s.command = {""}; }), "") << "may be an argument";
  EXPECT_EQ(image([](BoxSpec& s) { s.entrypoint.emplace(); }), "");
  EXPECT_EQ(image([](BoxSpec& s) { s.entrypoint = {""}; }), "command_missing");
  EXPECT_EQ(image([](BoxSpec& s) { s.entrypoint = {"a\0b"s}; }), "nul_byte");
  EXPECT_EQ(image([](BoxSpec& s) { s.platform = "arm64"; }), "");
  EXPECT_EQ(image([](BoxSpec& s) { s.platform = "vax"; }), "platform_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.platform = "amd64"; }), "platform_invalid");
  EXPECT_EQ(image([](BoxSpec& s) { s.rootfs = RootfsStrategy::kMerged; }), "");
  EXPECT_EQ(image([](BoxSpec& s) { s.rootfs = RootfsStrategy::kDisk; }), "rootfs_unsupported");
}

TEST(Validate, Command) {
  EXPECT_EQ(refusal([](BoxSpec& s) { s.command = {}; }), "command_missing");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.command = {""}; }), "command_missing");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.command = {"", "x"}; }), "command_missing");
}

TEST(Validate, NoNulAnywhere) {
  const std::string nul = "/a\0b"s;
  const Change changes[] = {[&](BoxSpec& s) { s.source = "dir:" + nul; },
                            [&](BoxSpec& s) { s.command = {nul}; },
                            [&](BoxSpec& s) { s.command = {"x", nul}; },
                            [&](BoxSpec& s) { s.env = {{nul, ""}}; },
                            [&](BoxSpec& s) { s.env = {{"a", nul}}; },
                            [&](BoxSpec& s) { s.workdir = nul; },
                            [&](BoxSpec& s) { s.name = nul; },
                            [&](BoxSpec& s) { s.user = nul; },
                            [&](BoxSpec& s) { s.groups = {nul}; },
                            [&](BoxSpec& s) { s.hostname = nul; },
                            [&](BoxSpec& s) { s.mounts = {{.source = nul, .target = "/b"}}; },
                            [&](BoxSpec& s) { s.mounts = {{.source = "/b", .target = nul}}; },
                            [&](BoxSpec& s) { s.labels = {{nul, ""}}; },
                            [&](BoxSpec& s) { s.labels = {{"a", nul}}; },
                            [&](BoxSpec& s) { s.stop_signal = "TERM\0"s; },
                            [&](BoxSpec& s) { s.allow_missing = {"memory\0"s}; },
                            [&](BoxSpec& s) { s.security = {SeccompMode::kCustom, nul}; }};
  for (const Change& change : changes)
    EXPECT_NE(refusal(change), "") << "change " << &change - changes;
}

TEST(Validate, Name) {
  EXPECT_EQ(refusal([](BoxSpec& s) { s.name = std::string(128, 'a'); }), "");
  for (const std::string& bad : {"-a"s, ".a"s, "_a"s, "."s, ".."s, "a/b"s, "../x"s, "a b"s, "a\n"s,
                                 "\xc3\xa4"s, "a:b"s, std::string(129, 'a')})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.name = bad; }), "name_invalid") << bad;
}

TEST(Validate, EnvironmentAndLabels) {
  EXPECT_EQ(refusal([](BoxSpec& s) { s.env = {{"", "x"}}; }), "env_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.env = {{"A=B", "x"}}; }), "env_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.labels = {{"", "x"}}; }), "label_invalid");
}

TEST(Validate, Workdir) {
  for (const char* bad : {"a", "./a", "/..", "/a/..", "/a/../b", "..", "~"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.workdir = bad; }), "workdir_invalid") << bad;
}

TEST(Validate, User) {
  for (const char* fine : {"0", "65535:65535", "root", "www-data:adm", "_apt", "host$", "0:root"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.user = fine; }), "") << fine;
  for (const char* bad : {":", "0:", ":0", "65536", "0:65536", "-1", "1a", "a:b:c", "a b", "a/b",
                          "$", "99999999999999999999", "abcdefghijklmnopqrstuvwxyz0123456789"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.user = bad; }), "user_invalid") << bad;
  for (const char* bad : {"", "65536", "a:b"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.groups = {bad}; }), "user_invalid") << bad;
}

TEST(Validate, Hostname) {
  for (const std::string& bad : {"-a"s, "a-"s, "a..b"s, "."s, "a."s, "a_b"s, "a b"s, "\xc3\xa4"s,
                                 std::string(65, 'a'), std::string(64, 'a')})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.hostname = bad; }), "hostname_invalid") << bad;
  EXPECT_EQ(
      refusal([](BoxSpec& s) { s.hostname = std::string(32, 'a') + "." + std::string(31, '9'); }),
      "");
}

TEST(Validate, Mounts) {
  for (const char* bad : {"", "a", "/", "//", "/a/", "/a/../b", "/..", "/proc", "/proc/sys", "/sys",
                          "/sys/fs/cgroup", "/dev", "/dev/null", "/dev/shm2", "/./a"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.mounts = {{.source = "/a", .target = bad}}; }),
              "mount_invalid")
        << bad;
  for (const char* bad : {"", "a", "/a/../b", "/.."})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.mounts = {{.source = bad, .target = "/b"}}; }),
              "mount_invalid")
        << bad;
  EXPECT_EQ(refusal([](BoxSpec& s) {
              s.mounts = {{.source = "/a", .target = "/b"},
                          {.type = MountType::kTmpfs, .target = "/b"}};
            }),
            "mount_invalid");
}

TEST(Validate, Limits) {
  using namespace std::chrono_literals;
  const Change changes[] = {
      [](BoxSpec& s) { s.limits.memory_bytes = (1u << 20) - 1; },
      [](BoxSpec& s) { s.limits.memory_bytes = std::numeric_limits<std::uint64_t>::max(); },
      [](BoxSpec& s) { s.limits.pids = 0; },
      [](BoxSpec& s) { s.limits.pids = 4'194'305; },
      [](BoxSpec& s) { s.limits.cpus = 0; },
      [](BoxSpec& s) { s.limits.cpus = -1; },
      [](BoxSpec& s) { s.limits.cpus = 1025; },
      [](BoxSpec& s) { s.limits.cpus = std::nan(""); },
      [](BoxSpec& s) { s.limits.cpus = INFINITY; },
      [](BoxSpec& s) { s.limits.cpu_weight = 0; },
      [](BoxSpec& s) { s.limits.cpu_weight = 10'001; },
      [](BoxSpec& s) { s.limits.cpu_time = 0ns; },
      [](BoxSpec& s) { s.limits.wall_time = -1s; },
      [](BoxSpec& s) { s.limits.open_files = 0; },
      [](BoxSpec& s) { s.limits.disk_bytes = 0; },
      [](BoxSpec& s) { s.limits.tmpfs_bytes = 0; },
      [](BoxSpec& s) { s.limits.tmpfs_inodes = 0; },
      [](BoxSpec& s) { s.allow_missing = {"ram"}; },
      [](BoxSpec& s) { s.allow_missing = {""}; }};
  for (const Change& change : changes)
    EXPECT_EQ(refusal(change), "limit_invalid") << "change " << &change - changes;
}

TEST(Validate, Others) {
  EXPECT_EQ(refusal([](BoxSpec& s) { s.stop_signal = "NOPE"; }), "signal_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.security.seccomp = SeccompMode::kCustom; }),
            "seccomp_policy_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.security.seccomp_policy = "{}"; }),
            "seccomp_policy_invalid");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.tty = true; }), "");
}

TEST(ValidateExec, SharesTheRules) {
  EXPECT_TRUE(validate(ExecSpec{.command = {"ps"}}));
  EXPECT_EQ(validate(ExecSpec{}).error().reason, "command_missing");
  EXPECT_EQ(validate(ExecSpec{.command = {"x"}, .env = {{"=", ""}}}).error().reason, "env_invalid");
  EXPECT_EQ(validate(ExecSpec{.command = {"x"}, .workdir = "x"}).error().reason, "workdir_invalid");
  EXPECT_EQ(validate(ExecSpec{.command = {"x"}, .user = ":"}).error().reason, "user_invalid");
  EXPECT_EQ(
      validate(ExecSpec{.command = {"x"}, .wall_time = std::chrono::seconds(0)}).error().reason,
      "limit_invalid");
}

}  // namespace
}  // namespace caisson
