#include "vm/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::vm {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

Machine machine() {
  Machine machine;
  machine.qemu = "/usr/bin/qemu-system-x86_64";
  machine.memory_mib = 256;
  machine.cpus = 2;
  machine.tsc_khz = 2'000'000;
  machine.kernel = 10;
  machine.initramfs = 11;
  machine.agent = 12;
  machine.control = 13;
  machine.console = 14;
  return machine;
}

TEST(MachineTest, NothingButTheNeededDevices) {
  const std::vector<std::string> words = command_line(machine());
  EXPECT_THAT(words, Contains("-nodefaults"));
  EXPECT_THAT(words, Contains("-no-user-config"));
  EXPECT_THAT(words, Contains(HasSubstr("spawn=deny")));
  EXPECT_THAT(words, Not(Contains(HasSubstr("fdset/2"))));
  EXPECT_THAT(words, Contains(HasSubstr("driver=null-co,node-name=base")));
  EXPECT_THAT(words, Not(Contains(HasSubstr("net"))));
}

/// The devices of a machine and of one that goes on in its place, in their order.
TEST(MachineTest, GoesOnWithTheSameDevices) {
  const auto devices = [](const Machine& machine) {
    std::vector<std::string> found;
    const std::vector<std::string> words = command_line(machine);
    for (std::size_t i = 0; i + 1 < words.size(); ++i)
      if (words[i] == "-device") found.push_back(words[i + 1]);
    return found;
  };
  Machine saved = machine();
  saved.memory = 30;
  saved.keep_memory = true;
  Machine resumed = saved;
  resumed.keep_memory = false;
  resumed.kernel = resumed.initramfs = -1;
  resumed.state = 31;
  resumed.base = 20;
  resumed.box = 21;
  EXPECT_EQ(devices(saved), devices(resumed));
  EXPECT_THAT(command_line(saved), Contains(HasSubstr("share=on")));
  EXPECT_THAT(command_line(resumed), Contains(HasSubstr("share=off")));
  EXPECT_THAT(command_line(resumed), Contains("fd:31"));
  EXPECT_THAT(command_line(resumed), Not(Contains("-kernel")));
}

TEST(MachineTest, DisksAreDescriptors) {
  Machine with = machine();
  with.base = 20;
  with.box = 21;
  const std::vector<std::string> words = command_line(with);
  EXPECT_THAT(words, Contains("fd=20,set=2"));
  EXPECT_THAT(words, Contains("fd=21,set=3"));
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("node-name=base"), HasSubstr("read-only=on"))));
}

TEST(MachineTest, AGuestOfTcgIsToldTheClock) {
  EXPECT_THAT(command_line(machine()), Contains(HasSubstr("tsc_early_khz=2000000")));
  Machine kvm = machine();
  kvm.accelerator = Accelerator::kKvm;
  EXPECT_THAT(command_line(kvm), Not(Contains(HasSubstr("tsc_early_khz"))));
}

TEST(SizeTest, FollowsTheLimits) {
  BoxSpec spec;
  EXPECT_EQ(size_of(spec)->cpus, 1u);
  spec.limits.memory_bytes = 100u << 20;
  EXPECT_EQ(size_of(spec)->memory_mib, 256u);
  spec.limits.cpus = 0.5;
  EXPECT_EQ(size_of(spec)->cpus, 1u);
  spec.limits.memory_bytes = 1u << 20;
  EXPECT_EQ(size_of(spec).error().reason, "memory_too_small");
}

TEST(ClockTest, TheRateIsMeasured) {
  const std::uint64_t khz = measure_tsc_khz();
  EXPECT_GT(khz, 100'000u);
  EXPECT_LT(khz, 10'000'000u);
}

}  // namespace
}  // namespace caisson::vm
