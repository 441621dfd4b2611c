#include "sys/cgroup_control.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace caisson::sys {
namespace {

using enum Controller;
using namespace std::chrono_literals;
constexpr ControllerSet kEverything = {kMemory, kPids, kCpu, kCpuacct, kFreezer, kIo};

ControlReader files(std::map<std::string, std::string> contents) {
  return [contents](Controller, const char* file) -> std::optional<std::string> {
    auto found = contents.find(file);
    if (found == contents.end()) return std::nullopt;
    return found->second;
  };
}

std::vector<std::string> text(const std::vector<ControlWrite>& writes) {
  std::vector<std::string> lines;
  for (const ControlWrite& w : writes) lines.push_back(w.file + "=" + w.value);
  return lines;
}

TEST(CgroupControl, Numbers) {
  EXPECT_EQ(parse_number("123\n"), 123u);
  EXPECT_EQ(parse_number("max\n"), std::nullopt);
  EXPECT_EQ(parse_number(""), std::nullopt);
  EXPECT_EQ(parse_number("99999999999999999999"), std::nullopt);
  EXPECT_EQ(parse_number("12 3"), std::nullopt);
  EXPECT_EQ(flat_value("low 0\noom 2\noom_kill 3\n", "oom_kill"), 3u);
  EXPECT_EQ(flat_value("oom_kill_disable 0\noom_kill 7", "oom_kill"), 7u);
  EXPECT_EQ(flat_value("max", "max"), std::nullopt);
}

TEST(CgroupControl, SharesMeetTheKernelsDefaults) {
  EXPECT_EQ(v1_cpu_shares(1), 2u);
  EXPECT_EQ(v1_cpu_shares(100), 1024u);
  EXPECT_EQ(v1_cpu_shares(10'000), 262'144u);
  EXPECT_LT(v1_cpu_shares(99), v1_cpu_shares(101));
}

TEST(CgroupControl, Quota) {
  EXPECT_EQ(cpu_quota(1.5), (CpuQuota{150'000, 100'000}));
  EXPECT_EQ(cpu_quota(0.01), (CpuQuota{1'000, 100'000}));
  EXPECT_EQ(cpu_quota(0.005), (CpuQuota{5'000, 1'000'000}));
  EXPECT_EQ(cpu_quota(0.001), (CpuQuota{1'000, 1'000'000}));
}

TEST(CgroupControl, V1MemoryOrderKeepsMemswAboveTheLimit) {
  const CgroupLimits limits{.memory_bytes = 1000, .pids = {}, .cpu_weight = {}, .cpus = {}};
  EXPECT_EQ(
      text(v1_limit_writes(limits, 9'223'372'036'854'771'712u)),
      (std::vector<std::string>{"memory.limit_in_bytes=1000", "memory.memsw.limit_in_bytes=1000"}));
  EXPECT_EQ(
      text(v1_limit_writes(limits, 500)),
      (std::vector<std::string>{"memory.memsw.limit_in_bytes=1000", "memory.limit_in_bytes=1000"}));
  EXPECT_EQ(text(v1_limit_writes(limits, std::nullopt)),
            (std::vector<std::string>{"memory.limit_in_bytes=1000"}));
}

TEST(CgroupControl, V1AndV2Writes) {
  const CgroupLimits limits{.memory_bytes = 4096, .pids = 64, .cpu_weight = 100, .cpus = 0.5};
  EXPECT_EQ(
      text(v1_limit_writes(limits, std::nullopt)),
      (std::vector<std::string>{"memory.limit_in_bytes=4096", "pids.max=64", "cpu.shares=1024",
                                "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"}));
  EXPECT_EQ(text(v2_limit_writes(limits, true)),
            (std::vector<std::string>{"memory.max=4096", "memory.swap.max=0", "pids.max=64",
                                      "cpu.weight=100", "cpu.max=50000 100000"}));
  EXPECT_EQ(text(v2_limit_writes({}, true)), std::vector<std::string>{});
}

TEST(CgroupControl, Validation) {
  EXPECT_TRUE(validate({}));
  for (const CgroupLimits& bad :
       {CgroupLimits{.memory_bytes = 0, .pids = {}, .cpu_weight = {}, .cpus = {}},
        CgroupLimits{.memory_bytes = {}, .pids = 0, .cpu_weight = {}, .cpus = {}},
        CgroupLimits{.memory_bytes = {}, .pids = {}, .cpu_weight = 10'001, .cpus = {}},
        CgroupLimits{.memory_bytes = {}, .pids = {}, .cpu_weight = {}, .cpus = 0.0},
        CgroupLimits{.memory_bytes = {}, .pids = {}, .cpu_weight = {}, .cpus = std::nan("")}}) {
    const auto result = validate(bad);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().reason, "limit_invalid");
  }
}

TEST(CgroupControl, V1Usage) {
  const Usage usage =
      v1_usage(files({{"memory.max_usage_in_bytes", "52428800\n"},
                      {"memory.usage_in_bytes", "4096\n"},
                      {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
                      {"cpuacct.usage_user", "1500000\n"},
                      {"cpuacct.usage_sys", "250000\n"},
                      {"pids.peak", "9\n"},
                      {"pids.current", "2\n"}}),
               kEverything);
  EXPECT_EQ(usage.peak_memory_bytes, 52428800u);
  EXPECT_EQ(usage.memory_bytes, 4096u);
  EXPECT_EQ(usage.oom_kills, 1u);
  EXPECT_EQ(usage.cpu_user, 1500us);
  EXPECT_EQ(usage.cpu_system, 250us);
  EXPECT_EQ(usage.max_pids, 9u);
  EXPECT_EQ(usage.pids, 2u);
  EXPECT_EQ(usage.read_bytes, std::nullopt);
}

TEST(CgroupControl, V2Usage) {
  const Usage usage = v2_usage(
      files({{"memory.peak", "52428800\n"},
             {"memory.current", "8192\n"},
             {"memory.events", "low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n"},
             {"cpu.stat", "usage_usec 1750\nuser_usec 1500\nsystem_usec 250\nnice_usec 0\n"},
             {"pids.current", "2\n"},
             {"io.stat",
              "254:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n"
              "8:16 rbytes=100 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n"}}),
      kEverything);
  EXPECT_EQ(usage.peak_memory_bytes, 52428800u);
  EXPECT_EQ(usage.oom_kills, 1u);
  EXPECT_EQ(usage.cpu_user, 1500us);
  EXPECT_EQ(usage.cpu_system, 250us);
  EXPECT_EQ(usage.max_pids, std::nullopt) << "pids.peak needs kernel 6.1";
  EXPECT_EQ(usage.pids, 2u);
  EXPECT_EQ(usage.read_bytes, 4196u);
  EXPECT_EQ(usage.write_bytes, 512u);
}

TEST(CgroupControl, WhatCannotBeHadIsAbsent) {
  EXPECT_EQ(v1_usage(files({}), kEverything), Usage{});
  EXPECT_EQ(v2_usage(files({}), kEverything), Usage{});
  const auto all = files({{"memory.peak", "1"}, {"pids.current", "1"}});
  EXPECT_EQ(v2_usage(all, {}), Usage{}) << "a controller that the group lacks is not read";
}

}  // namespace
}  // namespace caisson::sys
