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

/// For a guest to write to its disks what it has to.
constexpr std::int64_t kFreezeTime = 30'000'000'000;

Error unsaveable(std::string_view why) {
  return make_error(Code::kFailedPrecondition, "memory_unsaveable", format("save memory: {}", why),
                    "a snapshot without --memory keeps its files");
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

/// Until it has gone on once.
bool MicroVm::has_saved_memory() const {
  const std::string& saved = options_.box.rootfs.saved;
  const std::string here = options_.data + "/" + writable_name(options_.box.rootfs);
  const auto exists = [](const std::string& path) { return ::access(path.c_str(), F_OK) == 0; };
  return !saved.empty() && exists(saved + "/" + kMemory) &&
         (!exists(here) || exists(here + "/" + kAsleep));
}

/// Where a machine cannot go on from what there is the mark goes all the same: the next start
/// boots.
Result<> MicroVm::resume_saved(Machine machine) {
  const Result<> went = go_on(std::move(machine));
  if (went || went.error().reason == "memory_incompatible")
    ::unlinkat(data_.get(), format("{}/{}", writable_name(options_.box.rootfs), kAsleep).c_str(),
               0);
  return went;
}

Result<> MicroVm::go_on(Machine machine) {
  const std::string& saved = options_.box.rootfs.saved;
  const Result<std::string> about = read_file(saved + "/" + kMachine, 256);
  if (!about || *about != TRY(describe(machine)))
    return incompatible(saved, "QEMU or the machine's size is another now");
  Result<Fd> memory = open_fd(saved + "/" + kMemory, O_RDONLY | O_NOFOLLOW);
  const Result<Fd> state = open_fd(saved + "/" + kState, O_RDONLY | O_NOFOLLOW);
  struct stat info{};
  if (!memory || !state || ::fstat(memory->get(), &info) < 0 ||
      info.st_size != static_cast<off_t>(machine.memory_mib << 20))
    return incompatible(saved, "it is not whole");
  memory_ = std::move(*memory);
  machine.state = state->get();
  machine.memory = memory_.get();
  TRY(launch(machine));
  hello_ = true;
  Result<> awake = wake(true);
  // One that is slow says nothing against what was saved.
  if (awake || awake.error().reason == "guest_silent") return awake;
  return incompatible(saved, awake.error().message);
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

/// What the others write nobody reads.
Result<> MicroVm::take_main(backend::Stdio stdio) {
  constexpr ProcessId kMain = backend::kMainProcess;
  Process& process = processes_.at(kMain);
  if (next_terminal_) {
    process.terminal = std::move(next_terminal_);
    next_terminal_.reset();
    if (process.terminal) TRY(watch(process.terminal->fd()));
  }
  const guest::Running& streams = process.streams;
  if (streams.out) TRY(link_->write_to(stream_of(kMain, Part::kOut), std::move(stdio.out)));
  if (streams.err) TRY(link_->write_to(stream_of(kMain, Part::kErr), std::move(stdio.err)));
  if (streams.in) TRY(link_->read_from(stream_of(kMain, Part::kIn), std::move(stdio.in)));
  events_.push_back({{ProcessEvent::Kind::kStarted, kMain, {}, 0, {}, {}}, boot_ns()});
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(kick_.get(), &one, sizeof one);
  return {};
}

/// Nothing is under way between us and the guest afterwards, and its disks are as its programs see
/// them.
Result<> MicroVm::freeze() {
  const std::uint32_t number = ++freezes_;
  link_->hold(true);
  tell(guest::Freeze{number});
  return await([&] { return frozen_ == number; }, boot_ns() + kFreezeTime, "freeze guest");
}

void MicroVm::thaw() {
  link_->hold(false);
  tell(guest::Thaw{});
}

/// It is afterwards what it was before, unless it is to stay as it is.
Result<> MicroVm::save(int directory, bool memory, bool stay) {
  if (asleep_)
    return make_error(Code::kFailedPrecondition, "box_not_running", "save box: it was saved");
  if (memory && files_) return unsaveable("the box shows files of the host");
  const bool paused = paused_;
  TRY(resume());
  Result<> saved = save_still(directory, memory);
  if (saved && stay) {
    asleep_ = true;
    return {};
  }
  if (const Result<> resumed = resume(); saved && !resumed) saved = resumed;
  thaw();
  if (paused)
    if (const Result<> again = stop_machine(); saved && !again) saved = again;
  return saved;
}

Result<> MicroVm::save_still(int directory, bool memory) {
  const auto ends = [&] {
    const auto main = processes_.find(backend::kMainProcess);
    return failed_ || ended_ || box_gone_ || !link_ || main == processes_.end() ||
           main->second.phase != Phase::kStarted;
  };
  const Error gone = make_error(Code::kFailedPrecondition, "box_not_running", "save box: it ends");
  if (ends()) return gone;
  TRY(freeze());
  if (ends()) return gone;
  TRY(stop_machine());
  return save_files(directory, memory);
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
