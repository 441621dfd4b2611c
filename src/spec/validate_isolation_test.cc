// What the isolations without namespaces refuse, and rules of the fields that came with them.
#include <gtest/gtest.h>

#include <functional>

#include "caisson/spec.h"

namespace caisson {
namespace {

using Change = std::function<void(BoxSpec&)>;

/// The reason for which a good spec with one change is refused; empty when it is not.
std::string refusal(Isolation isolation, const Change& change) {
  BoxSpec spec;
  spec.source = "host:";
  spec.command = {"true"};
  spec.isolation = isolation;
  change(spec);
  const Result<> result = validate(spec);
  if (result) return "";
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
  return result.error().reason;
}

std::string refusal(const Change& change) { return refusal(Isolation::kContainer, change); }

constexpr Isolation kWithout[] = {Isolation::kUnsafeHost, Isolation::kProcess};

TEST(ValidateIsolation, WithoutNamespacesThereIsNoRootOfItsOwn) {
  const Change changes[] = {
      [](BoxSpec& s) { s.source = "dir:/srv"; },
      [](BoxSpec& s) { s.source = "alpine"; },
      [](BoxSpec& s) { s.user = "1000"; },
      [](BoxSpec& s) { s.groups = {"audio"}; },
      [](BoxSpec& s) { s.hostname = "h"; },
      [](BoxSpec& s) { s.read_only_root = true; },
      [](BoxSpec& s) { s.mounts = {{.source = "/a", .target = "/b"}}; },
      [](BoxSpec& s) { s.mounts = {{.type = MountType::kTmpfs, .target = "/t"}}; },
      [](BoxSpec& s) { s.mounts = {{.type = MountType::kVolume, .source = "v", .target = "/v"}}; },
      [](BoxSpec& s) { s.protect = {"/a"}; },
      [](BoxSpec& s) { s.security.cap_add = {"NET_RAW"}; },
      [](BoxSpec& s) { s.limits.disk_bytes = 1u << 30; },
      [](BoxSpec& s) { s.limits.tmpfs_bytes = 1u << 30; },
      [](BoxSpec& s) { s.limits.tmpfs_inodes = 10; }};
  for (const Isolation isolation : kWithout)
    for (const Change& change : changes) {
      EXPECT_EQ(refusal(isolation, change), "isolation_unsupported")
          << to_string(isolation) << " change " << &change - changes;
      EXPECT_EQ(refusal(change), "") << "change " << &change - changes;
    }
}

TEST(ValidateIsolation, WithoutAMachine) {
  const Change changes[] = {[](BoxSpec& s) { s.machine.kernel = "/boot/vmlinuz"; },
                            [](BoxSpec& s) { s.machine.cold = true; },
                            [](BoxSpec& s) { s.machine.ready_timeout = std::chrono::seconds(5); },
                            [](BoxSpec& s) { s.limits.disk_bytes_per_second = 1u << 20; },
                            [](BoxSpec& s) { s.limits.disk_operations_per_second = 10; }};
  for (const Change& change : changes) {
    EXPECT_EQ(refusal(change), "isolation_unsupported") << "change " << &change - changes;
    EXPECT_EQ(refusal(Isolation::kMicroVm, change), "") << "change " << &change - changes;
  }
  EXPECT_EQ(refusal(Isolation::kMicroVm, [](BoxSpec& s) { s.machine.kernel = "vmlinuz"; }),
            "kernel_invalid");
  for (const int hours : {0, -1, 25}) {
    const auto change = [&](BoxSpec& s) { s.machine.ready_timeout = std::chrono::hours(hours); };
    EXPECT_EQ(refusal(Isolation::kMicroVm, change), "limit_invalid") << hours;
  }
}

TEST(ValidateIsolation, WhatTheyCanHave) {
  const Change changes[] = {
      [](BoxSpec&) {},
      [](BoxSpec& s) { s.env = {{"A", "1"}}; },
      [](BoxSpec& s) { s.mounts = {{.source = "/a", .target = "/a", .read_only = true}}; },
      [](BoxSpec& s) { s.access = {{"/r"}, {"/w"}, {"/x"}, {443}, {8080}}; },
      [](BoxSpec& s) { s.security.cap_drop = {"ALL"}; },
      [](BoxSpec& s) { s.protect_defaults = false; },
      [](BoxSpec& s) { s.read_only_root = false; },
      [](BoxSpec& s) { s.limits.memory_bytes = 1u << 30; }};
  for (const Isolation isolation : kWithout)
    for (const Change& change : changes)
      EXPECT_EQ(refusal(isolation, change), "")
          << to_string(isolation) << " change " << &change - changes;
}

TEST(ValidateIsolation, AccessIsForThemAlone) {
  EXPECT_EQ(refusal([](BoxSpec& s) { s.access.read = {"/r"}; }), "isolation_unsupported");
  EXPECT_EQ(refusal([](BoxSpec& s) { s.access.bind_ports = {80}; }), "isolation_unsupported");
}

TEST(ValidateIsolation, Access) {
  for (const char* bad : {"", "a", "./a", "/a/../b", "/.."})
    EXPECT_EQ(refusal(Isolation::kProcess, [&](BoxSpec& s) { s.access.write = {bad}; }),
              "access_invalid")
        << bad;
  EXPECT_EQ(refusal(Isolation::kProcess, [](BoxSpec& s) { s.access.connect_ports = {0}; }),
            "access_invalid");
}

TEST(ValidateIsolation, Capabilities) {
  for (const char* fine : {"NET_RAW", "net_raw", "CAP_NET_RAW", "ALL", "all"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.security.cap_add = {fine}; }), "") << fine;
  for (const char* bad : {"", "NET", "CAP_", "CAP_ALL", "RAW NET"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.security.cap_drop = {bad}; }), "capability_unknown")
        << bad;
  BoxSpec spec;
  spec.source = "host:";
  spec.command = {"true"};
  spec.security.cap_add = {"net_rwa"};
  EXPECT_EQ(validate(spec).error().hint, "did you mean 'CAP_NET_RAW'?");
}

TEST(ValidateIsolation, ProtectedPaths) {
  for (const char* fine : {"/a", "/a/b/", "a", ".git/hooks/"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.protect = {fine}; }), "") << fine;
  for (const char* bad : {"", "/", "//", "a/../b", "../a", "./a", "a//b", "/proc/x", "/dev"})
    EXPECT_EQ(refusal([&](BoxSpec& s) { s.protect = {bad}; }), "protect_invalid") << bad;
}

}  // namespace
}  // namespace caisson
