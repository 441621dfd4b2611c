// A machine saved with its box in it, and going on from that.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "vm/disk.h"
#include "vm/memory.h"
#include "vm/microvm_impl.h"

namespace caisson::vm {

using backend::ProcessEvent;
using backend::ProcessId;
using guest::Part;
using guest::stream_of;

namespace {

constexpr int kControlMs = 10'000;
/// For a guest to write to its disks what it has to.
constexpr std::int64_t kFreezeTime = 30'000'000'000;
constexpr std::int64_t kResumeTime = 30'000'000'000;

Error unsaveable(std::string_view why) {
  return make_error(Code::kFailedPrecondition, "memory_unsaveable", format("save memory: {}", why),
                    "leave --memory out");
}

Error incompatible(const std::string& saved, std::string_view why) {
  return make_error(Code::kFailedPrecondition, "memory_incompatible",
                    format("go on from memory '{}': {}", saved, why),
                    "start the box once more: it boots from its disk");
}

Result<Fd> make_file(int directory, const char* name, int access) {
  return open_at(directory, name, access | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

}  // namespace

bool MicroVm::has_saved_memory() const {
  const std::string& saved = options_.box.rootfs.saved;
  return !saved.empty() && ::access((saved + "/" + kMemory).c_str(), F_OK) == 0 &&
         ::faccessat(AT_FDCWD, (options_.data + "/" + writable_name(options_.box.rootfs)).c_str(),
                     F_OK, 0) != 0;
}

/// The disk is a copy of the one that belongs to the memory; whoever starts the box after this one
/// finds it there, and boots. What may go better another time leaves none.
Result<> MicroVm::resume_saved(const Machine& machine) {
  const Result<> went = go_on(machine);
  if (went || went.error().reason == "memory_incompatible") return went;
  const std::string name = writable_name(options_.box.rootfs);
  ::unlinkat(data_.get(), (name + "/" + kDisk).c_str(), 0);
  ::unlinkat(data_.get(), name.c_str(), AT_REMOVEDIR);
  return went;
}

Result<> MicroVm::go_on(Machine machine) {
  const std::string& saved = options_.box.rootfs.saved;
  const Fd folder = TRY(open_fd(saved, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const std::string about = TRY(read_file(saved + "/" + kMachine, 256));
  if (about != TRY(describe(machine)))
    return incompatible(saved, "QEMU or the machine's size is another now");
  memory_ = TRY(open_at(folder.get(), kMemory, O_RDONLY | O_NOFOLLOW));
  struct stat info{};
  if (::fstat(memory_.get(), &info) < 0) return sys_error("stat", kMemory);
  if (info.st_size != static_cast<off_t>(machine.memory_mib << 20))
    return incompatible(saved, "it is not whole");
  const Fd state = TRY(open_at(folder.get(), kState, O_RDONLY | O_NOFOLLOW));
  machine.memory = memory_.get();
  machine.state = state.get();
  TRY(launch(machine));
  hello_ = true;
  return wake(kResumeTime, true);
}

Result<> MicroVm::adopt(const std::vector<guest::Running>& processes) {
  for (const guest::Running& running : processes) {
    Process process;
    process.phase = Phase::kStarted;
    process.adopted = true;
    process.streams = running;
    processes_[running.id] = std::move(process);
  }
  if (processes_.contains(backend::kMainProcess)) return {};
  return make_error(Code::kInvalidArgument, "protocol_error",
                    "go on from memory: the main process is not there");
}

ProcessId MicroVm::last_id() const {
  return processes_.empty() ? backend::kMainProcess : processes_.rbegin()->first;
}

/// Nobody reads what the others write.
Result<> MicroVm::spawn_adopted(ProcessId id, backend::Stdio stdio) {
  Process& process = processes_.at(id);
  if (next_terminal_) {
    process.terminal = std::move(next_terminal_);
    next_terminal_.reset();
    if (process.terminal) TRY(watch(process.terminal->fd()));
  }
  if (process.streams.out) TRY(link_->write_to(stream_of(id, Part::kOut), std::move(stdio.out)));
  if (process.streams.err) TRY(link_->write_to(stream_of(id, Part::kErr), std::move(stdio.err)));
  if (process.streams.in) TRY(link_->read_from(stream_of(id, Part::kIn), std::move(stdio.in)));
  events_.push_back({{ProcessEvent::Kind::kStarted, id, {}, 0, {}, {}}, boot_ns()});
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(kick_.get(), &one, sizeof one);
  return {};
}

/// Nothing is under way between us and the guest afterwards, and its disks are as its programs see
/// them.
Result<> MicroVm::freeze() {
  frozen_ = false;
  link_->hold(true);
  tell(guest::Freeze{});
  return await([this] { return frozen_; }, boot_ns() + kFreezeTime, "freeze guest");
}

Result<> MicroVm::save(int directory, bool memory, bool stay) {
  if (failed_ || ended_ || box_gone_ || !link_)
    return make_error(Code::kFailedPrecondition, "box_not_running", "save box: it ends");
  if (memory && files_) return unsaveable("the box shows files of the host");
  const bool paused = paused_;
  TRY(resume());
  Result<> saved = freeze();
  if (saved) saved = pause();
  if (saved) saved = save_files(directory, memory);
  if (saved && stay) {
    asleep_ = true;
    return {};
  }
  if (!paused) {
    const Result<> resumed = resume();
    if (saved && !resumed) saved = resumed.error();
  }
  link_->hold(false);
  tell(guest::Thaw{});
  return saved;
}

Result<> MicroVm::save_files(int directory, bool memory) {
  struct stat info{};
  if (::fstat(disk_.get(), &info) < 0) return sys_error("stat", kDisk);
  const Fd disk = TRY(make_file(directory, kDisk, O_RDWR));
  TRY(copy_file(disk_.get(), disk.get(), static_cast<std::uint64_t>(info.st_size), kDisk));
  return memory ? save_all_memory(directory) : Result<>();
}

Result<> MicroVm::save_all_memory(int directory) {
  const Fd state = TRY(make_file(directory, kState, O_WRONLY));
  TRY(save_devices(state.get()));
  const Fd memory = TRY(make_file(directory, kMemory, O_RDWR));
  TRY(save_memory(qemu_.pid, memory_.get(), machine_.memory_mib << 20, memory.get()));
  const Fd about = TRY(make_file(directory, kMachine, O_WRONLY));
  return write_all(about.get(), TRY(describe(machine_)), kMachine);
}

}  // namespace caisson::vm
