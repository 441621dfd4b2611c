#include "init/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unit_test_support.h"

namespace caisson::init {
namespace {

using sys::CgroupHierarchy;
using sys::CgroupLayout;
using sys::Controller;
using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

CgroupLayout layout_of(sys::ControllerSet controllers, std::string base = "/base") {
  CgroupHierarchy hierarchy;
  hierarchy.mount = "/sys/fs/cgroup";
  hierarchy.own = "";
  hierarchy.controllers = controllers;
  hierarchy.unusable = base.empty() ? "not writable" : "";
  hierarchy.base = std::move(base);
  return {{hierarchy}, false};
}
CgroupLayout everything() {
  return layout_of({Controller::kMemory, Controller::kPids, Controller::kCpu, Controller::kCpuacct,
                    Controller::kFreezer, Controller::kIo});
}

BoxSpec all_limits() {
  BoxSpec spec;
  spec.limits.memory_bytes = 64u << 20;
  spec.limits.pids = 10;
  spec.limits.cpus = 0.5;
  spec.limits.cpu_weight = 50;
  return spec;
}

TEST(CheckLimits, AllCanBeEnforced) {
  EXPECT_THAT(check_limits(all_limits(), everything()).value(), ElementsAre());
  EXPECT_THAT(check_limits(BoxSpec{}, everything()).value(), ElementsAre());
}

TEST(CheckLimits, WhatWasAskedForMustBeEnforced) {
  struct Row {
    const char* name;
    void (*set)(Limits&);
  };
  const Row rows[] = {{"memory", [](Limits& l) { l.memory_bytes = 1u << 20; }},
                      {"pids", [](Limits& l) { l.pids = 5; }},
                      {"cpus", [](Limits& l) { l.cpus = 1; }},
                      {"cpu_weight", [](Limits& l) { l.cpu_weight = 100; }}};
  for (const Row& row : rows) {
    BoxSpec spec;
    row.set(spec.limits);
    for (const CgroupLayout& layout :
         {CgroupLayout{},
          layout_of({Controller::kMemory, Controller::kPids, Controller::kCpu}, "")}) {
      const auto refused = check_limits(spec, layout);
      ASSERT_FALSE(refused) << row.name;
      EXPECT_EQ(refused.error().reason, "limit_unsupported");
      EXPECT_THAT(refused.error().message, HasSubstr(format("'{}'", row.name)));
      EXPECT_THAT(refused.error().hint, HasSubstr(format("--allow-missing={} ", row.name)));
      BoxSpec allowed = spec;
      allowed.allow_missing = {row.name};
      EXPECT_THAT(check_limits(allowed, layout).value(),
                  testing::Contains(HasSubstr(format("limit '{}' is not enforced", row.name))));
      allowed.allow_missing = {"another"};
      EXPECT_FALSE(check_limits(allowed, layout));
    }
    EXPECT_TRUE(check_limits(spec, everything())) << row.name;
  }
}

TEST(CheckLimits, TheDefaultForProcessesFallsBackWithAWarning) {
  EXPECT_THAT(
      check_limits(BoxSpec{}, CgroupLayout{}).value(),
      ElementsAre(HasSubstr("the number of processes is limited for each user of the box only")));
}

TEST(CheckLimits, OpenFilesAboveTheHardLimit) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  BoxSpec spec;
  spec.limits.open_files = files.rlim_max;
  EXPECT_TRUE(check_limits(spec, everything()));
  if (files.rlim_max == RLIM_INFINITY) return;
  spec.limits.open_files = files.rlim_max + 1;
  EXPECT_EQ(check_limits(spec, everything()).error().reason, "limit_unsupported");
}

TEST(CgroupLimits, OnlyOfUsableControllers) {
  EXPECT_EQ(cgroup_limits(all_limits(), everything()), (sys::CgroupLimits{64u << 20, 10, 50, 0.5}));
  EXPECT_EQ(cgroup_limits(all_limits(), CgroupLayout{}), sys::CgroupLimits{});
  EXPECT_EQ(cgroup_limits(all_limits(), layout_of({Controller::kMemory})),
            (sys::CgroupLimits{.memory_bytes = 64u << 20}));
  EXPECT_EQ(cgroup_limits(BoxSpec{}, everything()), (sys::CgroupLimits{.pids = 4096}));
  EXPECT_TRUE(any_cgroup(everything()));
  EXPECT_FALSE(any_cgroup(layout_of({Controller::kMemory}, "")));
  EXPECT_FALSE(any_cgroup({}));
}

const ResourceLimit* limit_of(const std::vector<ResourceLimit>& limits,
                              __rlimit_resource resource) {
  const auto found =
      std::ranges::find(limits, static_cast<int>(resource), &ResourceLimit::resource);
  return found == limits.end() ? nullptr : &*found;
}

TEST(ResourceLimits, DefaultsFitTheCallersHardLimits) {
  const auto limits = resource_limits({});
  EXPECT_EQ(limit_of(limits, RLIMIT_CORE)->hard, 0u);
  EXPECT_EQ(limit_of(limits, RLIMIT_FSIZE), nullptr);
  EXPECT_EQ(run_in_child([] {
              const rlimit few{100, 100};
              ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
              const auto fewer = resource_limits({});
              EXPECT_EQ(limit_of(fewer, RLIMIT_NOFILE)->soft, 100u);
              EXPECT_EQ(limit_of(fewer, RLIMIT_NOFILE)->hard, 100u);
            }),
            0);
}

TEST(ResourceLimits, TheSmallerOfFileAndDiskSize) {
  BoxSpec spec;
  spec.limits.open_files = 64;
  spec.limits.file_size_bytes = 1000;
  EXPECT_EQ(limit_of(resource_limits(spec), RLIMIT_FSIZE)->hard, 1000u);
  EXPECT_EQ(limit_of(resource_limits(spec), RLIMIT_NOFILE)->soft, 64u);
  spec.limits.disk_bytes = 500;
  EXPECT_EQ(limit_of(resource_limits(spec), RLIMIT_FSIZE)->soft, 500u);
  spec.limits.file_size_bytes.reset();
  EXPECT_EQ(limit_of(resource_limits(spec), RLIMIT_FSIZE)->soft, 500u);
}

TEST(Accounts, CompleteWhatCgroupsSay) {
  rusage used{};
  used.ru_utime = {1, 500'000};
  used.ru_stime = {0, 250'000};
  used.ru_maxrss = 10;
  Usage usage;
  fill_from_accounts(usage, used, sys::ProcessIo{11, 22});
  EXPECT_EQ(usage.cpu_user, 1500ms);
  EXPECT_EQ(usage.cpu_system, 250ms);
  EXPECT_EQ(usage.peak_memory_bytes, 10240u);
  EXPECT_EQ(usage.read_bytes, 11u);
  EXPECT_EQ(usage.write_bytes, 22u);
  // Of two lower bounds of the processor time the larger one counts.
  Usage known{
      .peak_memory_bytes = 1, .cpu_user = 2s, .cpu_system = 3s, .read_bytes = 4, .write_bytes = 5};
  const Usage before = known;
  fill_from_accounts(known, used, sys::ProcessIo{11, 22});
  EXPECT_EQ(known, before);
  Usage none;
  fill_from_accounts(none, rusage{}, {});
  EXPECT_FALSE(none.read_bytes || none.write_bytes || none.peak_memory_bytes)
      << "what is not known stays absent";
}

TEST(SearchPath, AsAShellDoes) {
  EXPECT_THAT(search_path("sh", "/bin:/usr/bin"), ElementsAre("/bin/sh", "/usr/bin/sh"));
  EXPECT_THAT(search_path("/bin/sh", "/x"), ElementsAre("/bin/sh"));
  EXPECT_THAT(search_path("./sh", "/x"), ElementsAre("./sh"));
  EXPECT_THAT(search_path("a/b", "/x"), ElementsAre("a/b"));
  EXPECT_THAT(search_path("sh", ":/a:"), ElementsAre("./sh", "/a/sh", "./sh"));
  EXPECT_THAT(search_path("sh", ""), ElementsAre("./sh"));
}

}  // namespace
}  // namespace caisson::init
