#include "vm/machine.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "guest/protocol.h"
#include "spec/effective.h"
#include "vm/opens.h"

namespace caisson::vm {
namespace {

/// What kernel and agent take, measured with 6.1 and 256 MiB: 90 MiB, of which 20 can be had back.
constexpr std::uint64_t kSystemMib = 128;
constexpr std::uint64_t kUsualMib = 512;
constexpr std::uint64_t kLeastMib = 16;

/// What QEMU takes for a rate, include/qemu/throttle.h.
constexpr std::uint64_t kMostRate = 1'000'000'000'000'000;

/// Few sizes, so that boxes can share a template.
constexpr std::uint64_t kStepMib = 64;

std::int64_t raw_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

/// Without `quiet` the serial line costs seconds; a panic is shown all the same. The tests of the
/// crypto modules, which cost a tenth of a boot, are for who builds them. What a guest gives back
/// may come again as it was saved: it must not count on zeroes (init_on_free). Under TCG there is
/// nothing to calibrate against: without tsc_early_khz a guest does not boot, without tsc=reliable
/// its clock has steps of 4 ms. What is against speculation means nothing there, and each step of a
/// page walk is work.
std::string kernel_words(const Machine& machine) {
  std::string words =
      "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests apparmor=0 lsm=landlock audit=0 "
      "8250.nr_uarts=1 rcupdate.rcu_expedited=1 init_on_free=0";
  if (machine.accelerator == Accelerator::kTcg)
    words += format(" tsc_early_khz={} tsc=reliable mitigations=off no5lvl", machine.tsc_khz);
  return words;
}

/// An empty one where there is no file.
void add_disk(std::vector<std::string>& words, std::string_view name, int file, int set,
              std::string_view format_name, std::string_view options, bool throttled) {
  const auto add = [&](const char* word, std::string value) {
    words.emplace_back(word);
    words.push_back(std::move(value));
  };
  if (file < 0) {
    add("-blockdev", format("driver=null-co,node-name={},read-only=on", name));
  } else {
    add("-add-fd", format("fd={},set={}", file, set));
    add("-blockdev", format("driver=file,node-name={}-file,filename=/dev/fdset/{},locking=off{}",
                            name, set, options));
    add("-blockdev",
        format("driver={},node-name={},file={}-file{}", format_name, name, name, options));
  }
  throttled = throttled && file >= 0;
  if (throttled)
    add("-blockdev", format("driver=throttle,node-name={}-slow,throttle-group=rate,file={}{}", name,
                            name, options));
  // Where the host has no room the guest gets an error: QEMU's own way is to stop the machine.
  add("-device", format("virtio-blk-device,drive={}{},serial={},werror=report", name,
                        throttled ? "-slow" : "", name));
}

}  // namespace

std::vector<std::string> command_line(const Machine& machine) {
  const auto fd = [](int number) { return format("/proc/self/fd/{}", number); };
  std::vector<std::string> words = {machine.qemu};
  const auto add = [&](std::initializer_list<std::string> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  add({"-M",
       "microvm,x-option-roms=off,pit=off,pic=off,rtc=on,acpi=on,auto-kernel-cmdline=off,"
       "memory-backend=ram,suppress-vmdesc=on"});
  if (machine.accelerator == Accelerator::kKvm)
    add({"-accel", "kvm", "-cpu", "host"});
  else
    // A page is cleared and copied byte by byte where the processor says that it does so fast.
    add({"-accel", "tcg,tb-size=128", "-cpu", "max,erms=off"});
  add({"-m", format("{}M", machine.memory_mib), "-smp", std::to_string(machine.cpus)});
  if (machine.memory < 0)
    add({"-object", format("memory-backend-memfd,id=ram,size={}M,share=on", machine.memory_mib)});
  else
    add({"-object", format("memory-backend-file,id=ram,size={}M,mem-path={},share={}",
                           machine.memory_mib, kMemoryPath, machine.keep_memory ? "on" : "off")});
  add({"-global", "virtio-mmio.force-legacy=false"});  // vhost-user knows only virtio 1
  add({"-nodefaults", "-no-user-config", "-nographic", "-no-reboot"});
  add({"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  // The state is that of the devices alone, as `xen-save-devices-state` writes it
  // (qapi/migration.json of QEMU): the memory is there already.
  add({"-global", "migration.send-configuration=off"});
  if (machine.state >= 0)
    add({"-incoming", format("fd:{}", machine.state)});
  else
    add({"-kernel", fd(machine.kernel), "-initrd", fd(machine.initramfs), "-append",
         kernel_words(machine)});
  add({"-add-fd", format("fd={},set=1", machine.console), "-chardev",
       "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console"});
  add({"-chardev", format("socket,id=control,fd={}", machine.control), "-mon",
       "chardev=control,mode=control"});
  add({"-device", "virtio-serial-device,max_ports=2", "-chardev",
       format("socket,id=agent,fd={}", machine.agent), "-device",
       format("virtserialport,chardev=agent,name={}", guest::kPort)});
  add({"-object", "rng-random,id=rng,filename=/dev/urandom", "-device",
       "virtio-rng-device,rng=rng"});
  // What programs free goes back to the host, in blocks of 2 MiB.
  add({"-device", "virtio-balloon-device,free-page-reporting=on"});
  const bool slow = machine.bytes_per_second != 0 || machine.operations_per_second != 0;
  if (slow)
    add({"-object", format("throttle-group,id=rate,x-bps-total={},x-iops-total={}",
                           std::min(machine.bytes_per_second, kMostRate),
                           std::min(machine.operations_per_second, kMostRate))});
  add_disk(words, guest::kBaseDisk, machine.base, 2, "raw", ",read-only=on", slow);
  add_disk(words, guest::kBoxDisk, machine.box, 3, "qcow2", ",discard=unmap", slow);
  if (machine.old >= 0)
    add_disk(words, guest::kOldDisk, machine.old, 4, "qcow2", ",discard=unmap", slow);
  // Its server reaches into the memory, and nobody can save its state: not of a template.
  if (machine.share >= 0)
    add({"-chardev", format("socket,id=share,fd={}", machine.share), "-device",
         format("vhost-user-fs-device,chardev=share,tag={}", guest::kShareTag)});
  return words;
}

Result<Size> size_of(const BoxSpec& spec) {
  const Limits limits = spec::effective_limits(spec);
  Size size;
  if (limits.cpus) size.cpus = static_cast<unsigned>(std::max(1.0, std::ceil(*limits.cpus)));
  const long there = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (there > 0) size.cpus = std::min(size.cpus, static_cast<unsigned>(there));
  size.memory_mib = kUsualMib;
  if (limits.memory_bytes) {
    const std::uint64_t wanted = *limits.memory_bytes >> 20;
    if (wanted < kLeastMib)
      return make_error(
          Code::kInvalidArgument, "memory_too_small",
          format("size guest: a memory limit of {} MiB is less than {}", wanted, kLeastMib),
          "give the box more memory, or use --isolation container");
    size.memory_mib = (wanted + kSystemMib + kStepMib - 1) / kStepMib * kStepMib;
  }
  return size;
}

std::uint64_t measure_tsc_khz() {
  const std::int64_t begun = raw_ns();
  const std::uint64_t first = __builtin_ia32_rdtsc();
  ::usleep(25'000);
  const std::int64_t took = raw_ns() - begun;
  const std::uint64_t ticks = __builtin_ia32_rdtsc() - first;
  return ticks * 1'000'000 / static_cast<std::uint64_t>(took);
}

}  // namespace caisson::vm
