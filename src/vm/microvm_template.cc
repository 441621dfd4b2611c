// Going on from a template, and making one.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "vm/disk.h"
#include "vm/memory.h"
#include "vm/microvm_impl.h"

namespace caisson::vm {
namespace {

/// For a machine to go on and answer, under TCG on a busy machine.
constexpr std::int64_t kResumeTime = 60'000'000'000;

/// Any number that the machine's words do not use.
constexpr int kStateSet = 9;

}  // namespace

/// What goes on is what was saved: the devices with other disks behind them, and a copy of the
/// memory that is made page by page as the guest writes.
Result<> MicroVm::resume_template(Machine machine) {
  const Fd templates = TRY(open_templates(options_.box.layout.home));
  const std::string name = TRY(template_name(machine, assets_));
  Saved saved = TRY(get_template(templates.get(), name, machine));
  memory_ = std::move(saved.memory);
  machine.memory = memory_.get();
  machine.state = saved.state.get();
  TRY(launch(machine));
  hello_ = true;
  const Result<> awake = wake(kResumeTime);
  // One that is slow says nothing against it.
  if (!awake && awake.error().reason != "guest_silent") remove_template(templates.get(), name);
  return awake;
}

Result<Saved> MicroVm::get_template(int templates, const std::string& name,
                                    const Machine& machine) {
  const std::uint64_t bytes = machine.memory_mib << 20;
  if (std::optional<Saved> there = find_template(templates, name, bytes)) return std::move(*there);
  const std::int64_t begun = boot_ns();
  const Fd lock = TRY(lock_templates(templates));
  if (std::optional<Saved> there = find_template(templates, name, bytes)) return std::move(*there);
  TRY(make_template(templates, name, machine));
  stages_.push_back({"template", std::chrono::nanoseconds(boot_ns() - begun)});
  std::optional<Saved> made = find_template(templates, name, bytes);
  if (made) return std::move(*made);
  return make_error(Code::kInternal, "guest_died", "make template: it is gone again");
}

/// A machine without disks, which is saved as soon as its agent answers.
Result<> MicroVm::make_template(int templates, const std::string& name, Machine machine) {
  const Saved saved = TRY(begin_template(templates, name, machine.memory_mib << 20));
  machine.base = machine.box = -1;
  machine.memory = saved.memory.get();
  machine.keep_memory = true;
  TRY(boot_machine(machine));
  TRY(save_devices(saved.state.get()));
  take_down();
  return finish_template(templates, name);
}

/// QEMU writes to a file of its own: what others go on from it must not be able to change later.
Result<> MicroVm::save_devices(int state) {
  constexpr off_t kMost = 16 << 20;
  const Fd file(::memfd_create("state", MFD_CLOEXEC));
  const Fd written(::open(format("/proc/self/fd/{}", file.get()).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || !written) return sys_error("create memory file", "");
  Qmp& qmp = *TRY(control());
  TRY(qmp.call("stop"));
  paused_ = true;
  TRY(qmp.add_fd(written.get(), kStateSet));
  TRY(qmp.call("xen-save-devices-state",
               {{"filename", format("/dev/fdset/{}", kStateSet)}, {"live", true}}));
  TRY(qmp.call("remove-fd", {{"fdset-id", kStateSet}}));
  struct stat info{};
  if (::fstat(file.get(), &info) < 0) return sys_error("stat", kState);
  if (info.st_size == 0 || info.st_size > kMost)
    return make_error(Code::kInternal, "qemu_failed", "save machine: no state of devices came");
  return copy_file(file.get(), state, static_cast<std::uint64_t>(info.st_size), kState);
}

}  // namespace caisson::vm
