// What this host gives boxes, by trying it: for each isolation a box attacks the host.
#include "engine/probe.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/scope_exit.h"
#include "base/subprocess.h"
#include "base/ulid.h"
#include "container/plan.h"
#include "engine/box_impl.h"
#include "spec/effective.h"
#include "spec/state_json.h"
#include "sys/cgroup.h"
#include "sys/landlock.h"
#include "sys/socket.h"
#include "sys/tree.h"
#include "trial/attack.h"

namespace caisson::engine {
namespace {

constexpr std::string_view kContent = "canary";

/// What the box must not reach. It is all of the same user, so nothing but the isolation is in the
/// way; it goes with this object.
class Canary final {
 public:
  static Result<Canary> make(const Runtime::Impl& runtime) {
    Canary canary;
    std::string name = runtime.path("cache/trial-XXXXXX");
    if (::mkdtemp(name.data()) == nullptr) return sys_error("create directory", name);
    canary.scratch_ = name;
    canary.target.canary = name + "/canary";
    if (::mkdir(canary.target.canary.c_str(), 0777) < 0)
      return sys_error("create directory", canary.target.canary);
    const Fd directory = TRY(open_fd(canary.target.canary, O_RDONLY | O_DIRECTORY));
    TRY(replace_file(directory.get(), "secret", std::string(kContent), 0666));
    canary.path_ = TRY(sys::listen_at(directory.get(), "socket"));
    TRY(canary.listen());
    TRY(canary.share_memory());
    TRY(canary.start_process(runtime));
    return canary;
  }
  Canary(Canary&&) = default;
  Canary& operator=(Canary&&) = delete;
  ~Canary() {
    alive_.reset();
    if (target.pid > 0 && !scratch_.empty()) ::waitpid(target.pid, nullptr, 0);
  }

  const std::string& scratch() const { return scratch_; }

  /// What was changed, whatever the box says of it. Who connects is not looked at: any user of the
  /// host can, and the box tells when it could.
  std::string touched() const {
    return read_file(target.canary + "/secret", 64).value_or("") == kContent
               ? ""
               : "a file of the host was changed";
  }

  trial::Target target;

 private:
  Canary() = default;

  Result<> listen() {
    target.abstract_name = "caisson-trial-" + TRY(make_ulid());
    abstract_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    target.abstract_name.copy(name.sun_path + 1, sizeof name.sun_path - 1);
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + target.abstract_name.size());
    if (!abstract_ || ::bind(abstract_.get(), reinterpret_cast<sockaddr*>(&name), size) < 0 ||
        ::listen(abstract_.get(), 8) < 0)
      return sys_error("listen on abstract socket", "");
    tcp_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (!tcp_ || ::bind(tcp_.get(), reinterpret_cast<sockaddr*>(&address), length) < 0 ||
        ::listen(tcp_.get(), 8) < 0 ||
        ::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&address), &length) < 0)
      return sys_error("listen on loopback", "");
    target.tcp_port = ntohs(address.sin_port);
    return {};
  }

  /// Marked for removal at once, it lives as long as we have it attached (shmctl(2)).
  Result<> share_memory() {
    target.shm_id = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
    if (target.shm_id < 0) return sys_error("create shared memory", "");
    void* at = ::shmat(target.shm_id, nullptr, 0);
    ::shmctl(target.shm_id, IPC_RMID, nullptr);
    if (reinterpret_cast<std::intptr_t>(at) == -1) return sys_error("attach shared memory", "");
    memory_.reset(at);
    return {};
  }

  Result<> start_process(const Runtime::Impl& runtime) {
    Pipe pipe = TRY(make_pipe());
    const Fd theirs(::fcntl(pipe.read.get(), F_DUPFD_CLOEXEC, 10));
    if (!theirs) return sys_error("duplicate descriptor", "");
    target.pid = TRY(spawn({runtime.shim, backend::kCanary}, {.fds = {{theirs.get(), 3}}}));
    alive_ = std::move(pipe.write);
    return {};
  }

  std::string scratch_;
  Fd path_, abstract_, tcp_, alive_;
  struct Detach {
    void operator()(void* at) const { ::shmdt(at); }
  };
  std::unique_ptr<void, Detach> memory_;
};

struct Limit {
  const char* name;  ///< of the row, without "limit_"
  std::optional<sys::Controller> controller;
};
constexpr Limit kLimits[] = {{"memory", sys::Controller::kMemory},
                             {"pids", sys::Controller::kPids},
                             {"cpus", sys::Controller::kCpu},
                             {"open_files", {}},
                             {"file_size", {}},
                             {"tmpfs", {}}};

constexpr std::array kDefences = {"files",      "attributes",    "mounts",       "signals",
                                  "tracing",    "network",       "unix_sockets", "system_calls",
                                  "privileges", "shared_memory", "kernel_files", "descriptors"};

/// What a microVM claims beside them: of its kernel and machine, and of the process that is it.
constexpr std::array kMachineDefences = {"own_kernel",     "host_unreachable", "device_set",
                                         "vmm_privileges", "vmm_system_calls", "vmm_namespaces",
                                         "vmm_files",      "vmm_network"};

/// One that a trial can be without. `mounts`, `tracing` and the rest hold by several at once.
struct Hole {
  std::string_view name;
  bool container = false, process = false, micro_vm = false;
};
constexpr Hole kHoles[] = {{"files", true, true, true},
                           {"signals", false, true, false},
                           {"network", true, true, false},
                           {"system_calls", true, true, true},
                           {"privileges", true, true, true},
                           {"shared_memory", true, false, false},
                           {"kernel_files", true, false, true},
                           {"descriptors", true, true, true},
                           {"limit_memory", true, true, true},
                           {"limit_pids", true, true, true},
                           {"limit_cpus", true, true, true},
                           {"limit_open_files", true, true, true},
                           {"limit_file_size", true, true, true},
                           {"limit_tmpfs", true, false, true},
                           {"device_set", false, false, true},
                           {"vmm_privileges", false, false, true},
                           {"vmm_system_calls", false, false, true},
                           {"vmm_namespaces", false, false, true},
                           {"vmm_files", false, false, true},
                           {"vmm_network", false, false, true}};

/// Limits of the box, and what it is told to exceed. One that is left out is exceeded all the same.
void set_limits(BoxSpec& spec, trial::Target& target, const sys::CgroupLayout& layout,
                std::string_view without) {
  const auto usable = [&](sys::Controller controller) {
    return spec.isolation == Isolation::kMicroVm || layout.usable(controller);
  };
  Limits& limits = spec.limits;
  if (usable(sys::Controller::kMemory)) limits.memory_bytes = target.memory_bytes = 64u << 20;
  if (usable(sys::Controller::kPids)) limits.pids = target.pids = 24;
  if (usable(sys::Controller::kCpu))
    limits.cpus = static_cast<double>(target.cpu_percent = 25) / 100;
  limits.open_files = target.open_files = 64;
  limits.file_size_bytes = target.file_size_bytes = 1u << 20;
  if (spec::has_own_root(spec.isolation)) limits.tmpfs_bytes = target.tmpfs_bytes = 4u << 20;
  if (without == "limit_memory") limits.memory_bytes.reset();
  if (without == "limit_pids") limits.pids.reset();
  if (without == "limit_cpus") limits.cpus.reset();
  if (without == "limit_open_files") limits.open_files.reset();
  if (without == "limit_file_size") limits.file_size_bytes.reset();
  if (without == "limit_tmpfs") limits.tmpfs_bytes.reset();
}

/// Runs the attacks in a box of a home of its own, which is gone afterwards.
Result<std::vector<trial::Finding>> run_trial(const Canary& canary, const Runtime::Impl& outer,
                                              const BoxSpec& spec, std::string_view without) {
  OpenOptions options = outer.options;
  options.home = canary.scratch() + "/home";
  options.shim_path = outer.shim;
  Runtime runtime = TRY(Runtime::open(options));
  Box box = TRY(runtime.create(spec));
  const backend::Layout layout{options.home};
  const Runtime::Impl inner(layout, outer.shim, options, TRY(store::State::open(options.home)),
                            outer.boot);
  backend::Trial trial{trial::encode(canary.target), std::string(without)};
  TRY(start_box(inner, box.id(), false, trial));
  const Result<ExitInfo> end = box.wait(in(std::chrono::seconds(120)));
  std::string report;
  for (const Output& output : TRY(box.logs())) report += output.data;
  TRY(box.remove(true));
  if (!end) return end.error();
  return trial::parse_report(report);
}

Capability row_of(Isolation isolation, std::string_view name, Proof proof,
                  std::string detail = {}) {
  const bool defence =
      std::ranges::count(kDefences, name) + std::ranges::count(kMachineDefences, name) != 0;
  return {
      std::string(to_string(isolation)), std::string(name), proof, defence, std::move(detail), {}};
}

/// What this host has no means for is no failure.
void excuse(Capability& row, const sys::CgroupLayout& layout, int landlock_abi) {
  if (row.isolation == to_string(Isolation::kMicroVm)) return;  // its kernel has them all
  for (const Limit& limit : kLimits)
    if (row.name == format("limit_{}", limit.name) && limit.controller &&
        !layout.usable(*limit.controller)) {
      row.proof = Proof::kUnavailable;
      row.detail = layout.why_not(*limit.controller);
    }
  if (row.isolation != to_string(Isolation::kProcess)) return;
  constexpr int kScopes = 6;
  if (row.name == "signals" && landlock_abi < kScopes) {
    row = {row.isolation,
           row.name,
           Proof::kUnavailable,
           false,
           format("Landlock of this kernel has ABI {}", landlock_abi),
           "Linux 6.12 has it"};
  }
}

/// `start` first; then every defence that the isolation claims.
std::vector<Capability> judge(Isolation isolation, const std::vector<trial::Finding>& findings,
                              const std::string& touched, bool with_limits) {
  std::vector<Capability> rows = {row_of(isolation, "start", Proof::kProved, "a box ran")};
  rows.front().required = true;
  const auto add = [&](const std::string& name) {
    const auto found = std::ranges::find(findings, name, &trial::Finding::defence);
    if (found == findings.end())
      rows.push_back(row_of(isolation, name, Proof::kFailed, "it was not tried"));
    else if (!found->broken.empty())
      rows.push_back(row_of(isolation, name, Proof::kFailed, found->broken));
    else
      rows.push_back(row_of(isolation, name, Proof::kProved));
  };
  for (const char* name : kDefences)
    if (spec::has_own_root(isolation) || std::string_view(name) != "kernel_files") add(name);
  if (isolation == Isolation::kMicroVm)
    for (const char* name : kMachineDefences) add(name);
  if (with_limits)
    for (const Limit& limit : kLimits)
      if (spec::has_own_root(isolation) || std::string_view(limit.name) != "tmpfs")
        add(format("limit_{}", limit.name));
  if (!touched.empty()) {
    rows.push_back(row_of(isolation, "canaries", Proof::kFailed, touched));
    rows.back().required = true;
  }
  return rows;
}

}  // namespace

bool is_hole(Isolation isolation, std::string_view name) {
  const auto hole = std::ranges::find(kHoles, name, &Hole::name);
  if (hole == std::end(kHoles)) return false;
  if (isolation == Isolation::kContainer) return hole->container;
  return isolation == Isolation::kMicroVm ? hole->micro_vm : hole->process;
}

Result<std::vector<Capability>> try_isolation(const Runtime::Impl& runtime, Isolation isolation,
                                              const TrialOptions& options) {
  const auto& [with_limits, without, ready_timeout] = options;
  if (runtime.shim.empty()) TRY(find_shim(runtime.options));
  Canary canary = TRY(Canary::make(runtime));
  ScopeExit clear([&] {
    [[maybe_unused]] const Result<> removed = remove_tree_of(
        runtime, runtime.path("cache"), canary.scratch().substr(canary.scratch().rfind('/') + 1));
  });
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  BoxSpec spec;
  spec.source = "host:";
  spec.isolation = isolation;
  spec.command = {"caisson-trial"};
  spec.protect_defaults = false;
  if (without == "network") spec.network = Network::kUnsafeHostNetwork;
  if (spec::has_own_root(isolation)) {
    canary.target.own_proc = true;
    canary.target.capabilities = container::capabilities_of(spec);
    const std::string& place = canary.target.canary;
    if (without == "files") spec.mounts.push_back({.source = place, .target = place});
  }
  if (isolation == Isolation::kMicroVm) {
    canary.target.boot = runtime.boot;
    spec.workdir = "/";  // its root may be empty
    spec.machine.ready_timeout = ready_timeout;
  }
  if (with_limits) set_limits(spec, canary.target, layout, without);
  Result<std::vector<trial::Finding>> found = run_trial(canary, runtime, spec, without);
  // Whoever ended it may have had another reason than the box: it is tried once more.
  if (!found && found.error().reason == "trial_died")
    found = run_trial(canary, runtime, spec, without);
  if (!found && found.error().reason != "trial_died") return found.error();
  std::vector<Capability> rows = judge(isolation, found ? *found : std::vector<trial::Finding>(),
                                       canary.touched(), with_limits);
  for (Capability& row : rows) excuse(row, layout, sys::landlock_abi().value_or(0));
  return rows;
}

}  // namespace caisson::engine

namespace caisson {
namespace {

constexpr Isolation kTried[] = {Isolation::kContainer, Isolation::kProcess, Isolation::kMicroVm};

std::vector<Capability> not_started(Isolation isolation, const Error& error) {
  return {{std::string(to_string(isolation)), "start", Proof::kUnavailable, true, error.message,
           error.hint}};
}

}  // namespace

namespace {

/// Of those that make the claim: a test of the trial, of which nothing is remembered.
Result<Capabilities> probe_without(const Runtime::Impl& runtime, const std::string& defence) {
  Capabilities all;
  for (Isolation isolation : kTried) {
    if (!engine::is_hole(isolation, defence)) continue;
    Result<std::vector<Capability>> rows =
        engine::try_isolation(runtime, isolation, {.with_limits = true, .without = defence});
    if (!rows) rows = not_started(isolation, rows.error());
    std::ranges::move(*rows, std::back_inserter(all.rows));
  }
  if (all.rows.empty())
    return make_error(Code::kInvalidArgument, "defence_unknown",
                      format("leave out defence '{}': there is no such row, or it holds by several "
                             "defences at once",
                             defence),
                      "docs/isolation.md lists those that can be left out");
  return all;
}

/// What changes when it is installed does so with the key of what is remembered.
bool is_missing(const Error& error) {
  return error.reason == "qemu_missing" || error.reason == "guest_missing";
}

}  // namespace

Result<Capabilities> Runtime::probe(const ProbeOptions& options) {
  if (!options.without.empty()) return probe_without(*impl_, options.without);
  if (!options.fresh)
    if (const std::optional<std::string> text = engine::remembered_probe(*impl_))
      if (Result<Capabilities> known = spec::capabilities_from_json(*text)) {
        std::erase_if(known->rows, [](const Capability& row) { return row.name == "idmap_here"; });
        known->rows.push_back(engine::try_working_directory());
        return known;
      }
  Capabilities all;
  bool tried = true;
  for (Isolation isolation : kTried) {
    Result<std::vector<Capability>> rows =
        engine::try_isolation(*impl_, isolation, {.with_limits = true});
    // Where no box can be started nothing was found out: the next start tries again, and says why.
    if (rows) engine::remember_proof(*impl_, isolation, *rows);
    tried = tried && (rows || is_missing(rows.error()));
    if (!rows) rows = not_started(isolation, rows.error());
    std::ranges::move(*rows, std::back_inserter(all.rows));
  }
  all.rows.push_back({std::string(to_string(Isolation::kUnsafeHost)), "isolation",
                      Proof::kUnavailable, false, "none: it is an ordinary process of the caller's",
                      "use process or container"});
  for (Capability& row : TRY(engine::try_host(*impl_, all.rows)))
    all.rows.push_back(std::move(row));
  all.rows.push_back(engine::try_working_directory());
  if (tried) engine::remember_probe(*impl_, to_json(all));
  return all;
}

}  // namespace caisson
