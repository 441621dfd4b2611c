// From nothing to a guest with a box in it.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/groups.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "container/prepare.h"
#include "image/rootfs.h"
#include "init/limits.h"
#include "spec/effective.h"
#include "sys/socket.h"
#include "vm/accelerator.h"
#include "vm/disk.h"
#include "vm/microvm_impl.h"
#include "vm/opens.h"

namespace caisson::vm {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
/// For one to come up by KVM, of which nobody knows yet whether it can.
constexpr std::int64_t kTrialTime = 10 * kSecond;
/// For a guest at each step, under TCG on a busy machine, unless told otherwise.
constexpr std::chrono::seconds kReadyTime{60};
/// What a box may write unless told otherwise; it takes what it holds.
constexpr std::uint64_t kUsualDisk = 10ull << 30;
/// What QEMU takes beside the guest's memory, at most.
constexpr std::uint64_t kOverheadBytes = 320u << 20;

/// Its programs get the rest, each its own; a machine that is saved with the box must not have it.
BoxSpec what_it_is_made_from(const BoxSpec& spec) {
  BoxSpec made;
  made.isolation = spec.isolation;
  made.profile = spec.profile;
  // The image is known by its disk, however it was called.
  const bool of_host = spec.source == "host:" || spec.source.starts_with("dir:");
  made.source = of_host ? spec.source : "image";
  made.command = {"-"};
  made.user = spec.user;
  made.groups = spec.groups;
  made.read_only_root = spec.read_only_root;
  made.mounts = spec.mounts;
  made.protect = spec.protect;
  made.protect_defaults = spec.protect_defaults;
  made.limits = spec.limits;
  made.limits.wall_time.reset();  // the host's doing, as the next
  made.limits.output = {};
  made.network = spec.network;
  made.security = spec.security;
  made.allow_missing = spec.allow_missing;
  return made;
}

}  // namespace

Result<backend::Started> MicroVm::start() {
  const std::int64_t begun = boot_ns();
  TRY(begin());
  const std::int64_t booted = boot_ns();
  if (Result<> box = start_box(); !box) return with_console(box.error());
  // The next one is faster by it; this one does not need it.
  if (const Result<> made = make_box_template(0); !made) {
    if (paused_) return with_console(made.error());
    console_->note(made.error().message);  // perhaps somebody else just makes it
  }
  backend::Started started;
  started.shim_pid = ::getpid();
  started.init_pid = qemu_.pid;
  started.stages = std::move(stages_);
  std::chrono::nanoseconds before{0};
  for (const StageTiming& stage : started.stages) before += stage.duration;
  started.stages.push_back({"boot", std::chrono::nanoseconds(booted - begun) - before});
  if (!made_ && !resumes_)
    started.stages.push_back({"box", std::chrono::nanoseconds(boot_ns() - booted)});
  started.warnings = std::move(warnings_);
  return started;
}

Result<> MicroVm::begin() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  kick_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !kick_ || !timer_) return sys_error("create epoll", "");
  for (int fd : {kick_.get(), timer_.get()}) TRY(watch(fd));
  if (Result<> up = boot(); !up) return with_console(up.error());
  return {};
}

Result<> MicroVm::make_cgroup() {
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  if (!init::any_cgroup(layout)) return {};
  sys::CgroupLimits limits;
  if (layout.usable(sys::Controller::kCpu)) limits.cpu_weight = spec().limits.cpu_weight;
  if (layout.usable(sys::Controller::kMemory))
    limits.memory_bytes = (TRY(size_of(spec())).memory_mib << 20) + kOverheadBytes;
  cgroup_.emplace(TRY(sys::Cgroup::create(layout, options_.box.id, limits)));
  return {};
}

Result<> MicroVm::boot() {
  assets_ = TRY(open_assets(options_.box.guest, spec().machine.kernel));
  Machine machine;
  machine.qemu = TRY(find_qemu());
  const Size size = TRY(size_of(spec()));
  machine.cpus = size.cpus;
  machine.memory_mib = size.memory_mib;
  machine.bytes_per_second = spec().limits.disk_bytes_per_second.value_or(0);
  machine.operations_per_second = spec().limits.disk_operations_per_second.value_or(0);
  data_ = TRY(open_fd(options_.data, O_RDONLY | O_DIRECTORY));
  resumes_ = compares_ == nullptr && has_saved_memory();
  if (options_.box.at_rest && resumes_)
    return make_error(Code::kFailedPrecondition, "box_hibernated",
                      "look at files: the box is to go on with its processes, which have them open",
                      format("caisson start {}", options_.box.id));
  if (!options_.box.rootfs.disk.empty()) base_ = TRY(open_fd(options_.box.rootfs.disk, O_RDONLY));
  machine.base = base_.get();
  // QEMU's user is one that nobody else is: of root's a range is claimed, an ordinary user's is
  // the user in a namespace of its own.
  if (options_.root)
    ids_ = TRY(container::claim_ids(options_.box.id));
  else if (::geteuid() != 0)  // not there yet, from an earlier run
    TRY(container::enter_box_ids());
  TRY(make_cgroup());
  TRY(choose_accelerator(machine));
  if (needs_shares(options_.box)) TRY(serve_files_of_host());
  TRY(start_machine(machine));
  for (int fd : {console_->fd(), link_->event_fd(), qemu_.pidfd.get()}) TRY(watch(fd));
  return {};
}

Result<> MicroVm::open_disks(const std::string& saved) {
  const std::string cache = options_.box.layout.cache();
  if (compares_ == nullptr || !saved.empty())
    disk_ = TRY(open_box_disk(data_.get(), writable_name(options_.box.rootfs), saved, cache,
                              spec().limits.disk_bytes.value_or(kUsualDisk), resumes_));
  if (compares_ != nullptr && !compares_->old.empty())
    old_ = TRY(open_box_disk(data_.get(), "old", compares_->old, cache, 0, false));
  return {};
}

/// KVM where a guest boots with it.
Result<> MicroVm::choose_accelerator(Machine& machine) {
  if (!kvm_is_there()) return {};
  const std::string cache = options_.box.layout.cache();
  Machine of_any_size = machine;
  of_any_size.cpus = 1;
  of_any_size.memory_mib = 0;
  const std::string what = TRY(template_name(of_any_size, assets_));
  if (const std::optional<Accelerator> known = known_accelerator(cache, what)) {
    machine.accelerator = *known;
    return {};
  }
  Machine trial = machine;
  trial.accelerator = Accelerator::kKvm;
  trial.base = -1;
  const Result<> works = boot_machine(trial, std::min(kTrialTime, patience_ns()));
  take_down();
  boots_ = true;  // by the other way, as far as anybody knows
  if (works)
    machine.accelerator = Accelerator::kKvm;
  else
    warnings_.push_back(format("boot with /dev/kvm: {}; the guest is emulated, which is slower",
                               with_console(works.error()).message));
  remember_accelerator(cache, what, machine.accelerator);
  return {};
}

Result<> MicroVm::serve_files_of_host() {
  if (!options_.preparation)
    return make_error(Code::kInternal, "protocol_error", "show files: nothing was prepared");
  shared_ = share(options_.box, TRY(user_by_numbers(spec(), options_.box.rootfs)));
  image::ResolvedSource host = TRY(image::resolve_source("host:", options_.box.layout.home));
  host.rootfs.views.insert(host.rootfs.views.end(), shared_->shown.begin(), shared_->shown.end());
  files_ =
      TRY(FileServer::start({backend::files_group(options_.box.id), options_.data,
                             options_.box.layout.cache(), shared_->server, std::move(host.rootfs)},
                            std::move(*options_.preparation)));
  for (const std::string& warning : files_->warnings()) warnings_.push_back(warning);
  return watch(files_->event_fd());
}

/// From a template where there can be one. A start that takes longer is better than none.
Result<> MicroVm::start_machine(Machine machine) {
  makes_template_ = can_be_template();
  if (makes_template_) {
    const Result<bool> went = resume_box_template(machine);
    if (went && *went) return {};
    if (!went) {
      warnings_.push_back(format("start from a template: {}", went.error().message));
      take_down();
      remove_box_disk(data_.get(), writable_name(options_.box.rootfs));
    }
  }
  TRY(open_disks(options_.box.rootfs.saved));
  machine.box = disk_.get();
  machine.old = old_.get();
  return resumes_ ? resume_saved(machine) : start_empty_machine(machine);
}

/// A machine without a box.
Result<> MicroVm::start_empty_machine(Machine machine) {
  if (!boots()) {
    Result<> went = resume_template(machine);
    // One that does not boot without disks does not boot with them either.
    if (went || !boots_) return went;
    if (warms_) {  // a broken one is gone by now
      take_down();
      return went.error().reason == "guest_silent" ? went : resume_template(machine);
    }
    warnings_.push_back(format("start from a template: {}", went.error().message));
    take_down();
  }
  const Fd socket = files_ ? files_->take_socket() : Fd();
  machine.share = socket.get();
  TRY(boot_machine(machine, patience_ns()));
  return wake();
}

Result<> MicroVm::boot_machine(Machine machine, std::int64_t patience_ns) {
  if (machine.memory < 0) {  // one that we have too, to save it
    memory_ = Fd(::memfd_create("memory", MFD_CLOEXEC));
    if (!memory_ || ::ftruncate(memory_.get(), static_cast<off_t>(machine.memory_mib << 20)) < 0)
      return sys_error("create memory file", "");
    machine.memory = memory_.get();
    machine.keep_memory = true;
  }
  machine.tsc_khz = measure_tsc_khz();
  machine.kernel = assets_.kernel.get();
  machine.initramfs = assets_.initramfs.get();
  TRY(launch(machine));
  const Result<> up = await([this] { return hello_; }, boot_ns() + patience_ns, "boot guest");
  boots_ = up.has_value();
  return up;
}

Result<> MicroVm::launch(Machine machine) {
  sys::SocketPair agent = TRY(sys::make_socket_pair(SOCK_STREAM));
  sys::SocketPair control = TRY(sys::make_socket_pair(SOCK_STREAM));
  console_ = TRY(Console::open(data_.get()));
  machine.agent = agent.theirs.get();
  machine.control = control.theirs.get();
  machine.console = console_->write_end();
  QemuOptions options;
  options.words = command_line(machine);
  leave_out(options.words);
  if (options_.box.trial) options.without = options_.box.trial->without;
  for (int fd : {machine.kernel, machine.initramfs, machine.state, machine.agent, machine.control,
                 machine.console, machine.base, machine.box, machine.old, machine.share})
    if (fd >= 0) options.fds.push_back(fd);
  for (int fd : {machine.kernel, machine.initramfs})
    if (fd >= 0) options.readable.push_back(fd);
  options.asks = machine.memory >= 0;
  options.keeps_file = !machine.keep_memory;
  options.output = machine.console;
  options.kvm = machine.accelerator == Accelerator::kKvm;
  options.uid = ids_.first;
  if (cgroup_) options.cgroups = TRY(cgroup_->join_fds());
  qemu_ = TRY(start_qemu(options));
  machine_ = machine;
  console_->close_write_end();
  link_.emplace(TRY(guest::Link::create(std::move(agent.ours))));
  qmp_socket_ = std::move(control.ours);
  return {};
}

/// As if it had never been started.
void MicroVm::take_down() {
  kill_machine();
  if (qemu_.pid > 0) ::waitpid(qemu_.pid, nullptr, 0);
  qemu_ = {};
  link_.reset();
  qmp_.reset();
  qmp_socket_.reset();
  hello_ = awake_ = failed_ = ended_ = paused_ = false;
}

/// What it opens for writing from then on it is refused.
Result<> MicroVm::wake(bool resumed) {
  guest::Wake wake = identity();
  wake.resumed = resumed;
  wake.time_ns = wall_ns();
  wake.seed.resize(64);
  if (::getrandom(wake.seed.data(), wake.seed.size(), 0) != static_cast<ssize_t>(wake.seed.size()))
    return sys_error("read random bytes", "");
  tell(wake);
  TRY(await([this] { return awake_; }, boot_ns() + patience_ns(), "wake guest"));
  qemu_.opens.reset();
  return {};
}

/// A machine's own, where the box does not say.
guest::Wake MicroVm::identity() const {
  constexpr std::size_t kDigits = 8, kMachineIdDigits = 32;
  const std::string& id = options_.box.id;
  guest::Wake wake;
  wake.hostname = spec().hostname;
  if (wake.hostname.empty())
    wake.hostname = "caisson-" + id.substr(id.size() - std::min(kDigits, id.size()));
  wake.machine_id = sha256_hex(id).substr(0, kMachineIdDigits);
  return wake;
}

guest::Start MicroVm::start_message() const {
  guest::Start start;
  start.box = options_.box;
  start.box.id = "box";  // the only one there
  start.box.layout.home = "/run/caisson";
  start.base = !options_.box.rootfs.disk.empty();
  Rootfs& rootfs = start.box.rootfs;
  if (shared_) {
    start.share = true;
    start.box.spec = shared_->guest;
    start.views = shared_->views;
    rootfs = shared_->rootfs;
  }
  if (!start.base && !shared_) {  // of a trial
    rootfs.lowers = {guest::kEmpty};
    rootfs.views.clear();
  }
  rootfs.disk.clear();
  rootfs.saved.clear();
  rootfs.generation.clear();  // inside there is one, whatever disk it is on
  rootfs.strategy = RootfsStrategy::kOverlay;
  if (start.base) rootfs.lowers = {guest::kBase};
  rootfs.lower_parent.clear();
  // The host's limits are kept by the host, or by the machine itself.
  Limits& limits = start.box.spec.limits;
  for (auto* limit :
       {&limits.disk_bytes, &limits.disk_bytes_per_second, &limits.disk_operations_per_second})
    limit->reset();
  start.box.spec = what_it_is_made_from(start.box.spec);
  start.box.guest.clear();
  start.box.attach = false;
  return start;
}

Result<> MicroVm::start_box() {
  if (resumes_ || made_) return {};
  tell(start_message());
  TRY(await([this] { return started_.has_value(); }, boot_ns() + patience_ns(),
            "start box in guest"));
  if (started_->error) return *started_->error;
  for (const std::string& warning : started_->started.warnings) warnings_.push_back(warning);
  return {};
}

std::int64_t MicroVm::patience_ns() const {
  return spec().machine.ready_timeout.value_or(kReadyTime).count();
}

Result<> MicroVm::await(const std::function<bool()>& done, std::int64_t deadline_ns,
                        const char* action) {
  constexpr std::int64_t kLook = 200'000'000;
  while (!done()) {
    if (wanted_ && !wanted_())
      return make_error(Code::kCancelled, "cancelled", format("{}: nobody waits", action));
    const std::int64_t left = deadline_ns - boot_ns();
    if (left <= 0)
      return make_error(Code::kDeadlineExceeded, "guest_silent",
                        format("{}: it did not answer in time", action));
    pollfd polled[] = {{link_->event_fd(), POLLIN, 0},
                       {qemu_.pidfd.get(), POLLIN, 0},
                       {console_->fd(), POLLIN, 0},
                       {qemu_.opens.get(), POLLIN, 0},
                       {files_ ? files_->event_fd() : -1, POLLIN, 0},
                       {differences_.get(), POLLIN, 0}};
    const std::int64_t wait = wanted_ ? std::min(left, kLook) : left;
    ::poll(polled, 6, static_cast<int>(wait / 1'000'000 + 1));
    if (polled[3].revents != 0 && !answer_open(qemu_.opens.get(), machine_.memory))
      qemu_.opens.reset();
    run_link();
    console_->read();
    reap();
    look_at_files();
    if (!done() && (failed_ || ended_))
      return make_error(Code::kInternal, "guest_died", format("{}: the guest is gone", action));
  }
  return {};
}

Error MicroVm::with_console(Error error) const {
  if (!console_) return error;
  const std::string last = console_->last_lines();
  if (!last.empty() && (error.reason == "guest_silent" || error.reason == "guest_died"))
    error.message += format("; its console ends with: {}", last);
  if (error.reason == "guest_silent" && compares_ == nullptr)
    error.hint = format("--ready-timeout waits longer than {} ms", patience_ns() / 1'000'000);
  return error;
}

}  // namespace caisson::vm
