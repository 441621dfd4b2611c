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

/// Any number that the machine's words do not use.
constexpr int kStateSet = 9;

}  // namespace

/// What goes on is what was saved: the devices with other disks behind them, and a copy of the
/// memory that is made page by page as the guest writes.
Result<> MicroVm::go_on_from(Saved saved, Machine machine, bool resumed) {
  memory_ = std::move(saved.memory);
  machine.memory = memory_.get();
  machine.state = saved.state.get();
  TRY(launch(machine));
  hello_ = true;
  return wake(resumed);
}

Result<> MicroVm::resume_template(const Machine& machine) {
  const Fd templates = TRY(open_templates(options_.box.layout.home));
  const std::string name = TRY(template_name(machine, assets_));
  Saved saved = TRY(get_template(templates.get(), name, machine));
  const Fd folder = std::move(saved.folder);
  Result<> awake = go_on_from(std::move(saved), machine, false);
  // One that is slow says nothing against it.
  if (!awake && awake.error().reason != "guest_silent")
    remove_broken(templates.get(), name, folder.get());
  return awake;
}

/// A box that begins with its image alone.
bool MicroVm::can_be_template() const {
  const backend::StartRequest& box = options_.box;
  return compares_ == nullptr && !resumes_ && !boots() && !box.at_rest && box.fail_at == 0 &&
         box.rootfs.saved.empty() && base_ &&
         ::faccessat(data_.get(), writable_name(box.rootfs).c_str(), F_OK, 0) < 0;
}

/// Of what the box is made from, to which nothing else goes before it is saved.
Result<std::string> MicroVm::name_of_box(const Machine& machine) const {
  struct stat base{};
  if (::fstat(base_.get(), &base) < 0) return sys_error("stat", options_.box.rootfs.disk);
  const std::string inputs =
      format("{}\n{} {} {} {}.{}\n{}", guest::encode(start_message()), base.st_dev, base.st_ino,
             base.st_size, base.st_mtim.tv_sec, base.st_mtim.tv_nsec,
             options_.box.spec.limits.disk_bytes.value_or(0));
  return box_template_name(TRY(template_name(machine, assets_)), inputs);
}

/// Whether there was one.
Result<bool> MicroVm::resume_box_template(Machine machine) {
  const Fd templates = TRY(open_templates(options_.box.layout.home));
  const std::string name = TRY(name_of_box(machine));
  std::optional<Saved> saved = find_template(templates.get(), name, machine.memory_mib << 20);
  if (!saved) return false;
  const Fd folder = std::move(saved->folder);
  const Result<> awake = [&]() -> Result<> {
    const Fd file = TRY(open_at(folder.get(), kStarted, O_RDONLY | O_NOFOLLOW));
    guest::FromGuest started =
        TRY(guest::decode_from_guest(TRY(read_all(file.get(), 1 << 20, kStarted))));
    auto* told = std::get_if<guest::Started>(&started);
    if (told == nullptr)
      return make_error(Code::kInternal, "protocol_error", "read template: it says nothing");
    TRY(open_disks(format("/proc/self/fd/{}", folder.get())));
    machine.box = disk_.get();
    TRY(go_on_from(std::move(*saved), machine, true));
    made_ = true;
    for (const std::string& warning : told->started.warnings) warnings_.push_back(warning);
    return {};
  }();
  if (awake) return true;
  if (awake.error().reason != "guest_silent") remove_broken(templates.get(), name, folder.get());
  return awake.error();
}

/// The machine as it is now, with a box in which nothing has run yet.
Result<> MicroVm::make_box_template(std::int64_t patience_ns) {
  if (made_ || !makes_template_) return {};
  const Fd templates = TRY(open_templates(options_.box.layout.home));
  const Fd lock = TRY(lock_templates(templates.get(), patience_ns));
  const std::string name = TRY(name_of_box(machine_));
  if (find_template(templates.get(), name, machine_.memory_mib << 20)) return {};
  const Fd directory = TRY(begin_template(templates.get(), name));
  Result<> saved = [&]() -> Result<> {
    TRY(freeze());
    TRY(stop_machine());
    TRY(save_files(directory.get(), true));
    const Fd file = TRY(open_at(directory.get(), kStarted, O_WRONLY | O_CREAT | O_EXCL, 0600));
    TRY(write_all(file.get(), guest::encode(*started_), kStarted));
    const Fd source = TRY(open_at(directory.get(), kSource, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return write_all(source.get(), spec().source, kSource);
  }();
  const Result<> resumed = resume();
  thaw();
  TRY(resumed);
  if (saved) return finish_template(templates.get(), name);
  drop_template(templates.get());
  return saved;
}

Result<std::vector<std::string>> MicroVm::warm(const std::function<bool()>& wanted) {
  warms_ = true;
  wanted_ = wanted;
  TRY(begin());
  if (!base_) return std::move(warnings_);  // for whatever box: that is all
  if (const Result<> box = start_box(); !box) return with_console(box.error());
  if (const Result<> made = make_box_template(patience_ns()); !made)
    return with_console(made.error());
  return std::move(warnings_);
}

Result<std::vector<std::string>> warm_microvm(MicroVmOptions options,
                                              const std::function<bool()>& wanted) {
  return MicroVm(std::move(options)).warm(wanted);
}

Result<Saved> MicroVm::get_template(int templates, const std::string& name,
                                    const Machine& machine) {
  const std::uint64_t bytes = machine.memory_mib << 20;
  if (std::optional<Saved> there = find_template(templates, name, bytes)) return std::move(*there);
  const std::int64_t begun = boot_ns();
  const Fd lock = TRY(lock_templates(templates, patience_ns()));
  if (std::optional<Saved> there = find_template(templates, name, bytes)) return std::move(*there);
  if (Result<> made = make_template(templates, name, machine); !made) {
    drop_template(templates);
    return made.error();
  }
  stages_.push_back({"template", std::chrono::nanoseconds(boot_ns() - begun)});
  std::optional<Saved> made = find_template(templates, name, bytes);
  if (made) return std::move(*made);
  return make_error(Code::kInternal, "guest_died", "make template: it is gone again");
}

/// A machine without disks, which is saved as soon as its agent answers.
Result<> MicroVm::make_template(int templates, const std::string& name, Machine machine) {
  const Fd folder = TRY(begin_template(templates, name));
  const Saved saved = TRY(make_saved(folder.get(), machine.memory_mib << 20));
  machine.base = machine.box = -1;
  machine.memory = saved.memory.get();
  machine.keep_memory = true;
  TRY(boot_machine(machine, patience_ns()));
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
