#include "process/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "base/clock.h"
#include "init/limits.h"
#include "init/sandbox.h"
#include "init/stage_clock.h"
#include "process/apply.h"
#include "sys/process.h"

namespace caisson::process {
namespace {

using backend::ProcessId;

class Process final : public init::InitSandbox {
 public:
  explicit Process(ProcessOptions options)
      : InitSandbox(options.id, std::move(options.spec)), options_(std::move(options)) {}
  ~Process() override { destroy(); }

  Result<backend::Started> start() override;
  Result<> spawn(ProcessId id, const backend::ProcessSpec& spec, backend::Stdio stdio) override;
  Result<> serve_files(ProcessId id, Fd socket) override;
  Result<backend::Terminal> open_terminal(const std::string& user) override;
  std::optional<std::uint64_t> disk_bytes() override { return std::nullopt; }

 private:
  init::ProcessImage basic_image() const;
  void leave_out(std::string_view defence);
  bool all_stopped(bool or_asleep) override {
    return sys::descendants_stopped(init_pid(), or_asleep);
  }
  std::chrono::nanoseconds processes_cpu_time() override {
    return sys::descendants_cpu_time(init_pid());
  }
  void on_init_gone() override;

  ProcessOptions options_;
  Facts facts_;
  Plan plan_;
  std::string seccomp_;
};

Result<backend::Started> Process::start() {
  init::StageClock clock({});
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  facts_ = gather_facts();
  plan_ = TRY(make_plan(spec(), facts_, options_.data));
  leave_out(options_.trial.without);
  std::vector<std::string> warnings = plan_.warnings;
  for (std::string& w : TRY(init::check_limits(spec(), layout))) warnings.push_back(std::move(w));
  clock.lap("plan");
  if (::mkdir(plan_.workspace.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", plan_.workspace);
  clock.lap("files");
  if (plan_.confined)
    seccomp_ = TRY(init::seccomp_program(spec(), {}, options_.cache, plan_.seccomp));
  clock.lap("seccomp");
  TRY(make_cgroup(layout));
  clock.lap("cgroup");
  // Should init be killed, its children become ours, and end.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return sys_error("become a subreaper", "");
  WorldOptions world;
  world.plan = &plan_;
  world.cgroups = TRY(cgroup_fds());
  world.seccomp = seccomp_;
  world.service = {::geteuid(), ::getegid(), {}};
  world.root = facts_.root;
  world.trial = options_.trial.target;
  world.claim = options_.claim;
  world.fail_at = options_.fail_at;
  TRY(clone_init(0, [&](int control) {
    ProcessWorld built(std::move(world));
    init::run_init(control, built);
  }));
  clock.lap("clone");
  TRY(await_ready(warnings));
  clock.lap("rules");
  return backend::Started{::getpid(), init_pid(), 0, clock.take(), std::move(warnings)};
}

/// The holes that a trial must find: it runs no program but its own.
void Process::leave_out(std::string_view defence) {
  if (defence == "files") plan_.landlock = false;
  if (defence == "signals") plan_.options.forbid_scope = false;
  if (defence == "privileges") plan_.no_new_privileges = false;
}

init::ProcessImage Process::basic_image() const {
  init::ProcessImage image;
  image.own_ids = true;
  image.set_groups = false;
  image.no_new_privileges = plan_.no_new_privileges;
  image.unfiltered = !plan_.confined || options_.trial.without == "system_calls";
  image.leaks = options_.trial.without == "descriptors";
  image.limits = process_limits();
  return image;
}

Result<> Process::spawn(ProcessId id, const backend::ProcessSpec& spec, backend::Stdio stdio) {
  init::ProcessImage image = basic_image();
  std::map<std::string, std::string> env = spec.env;
  env.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  env.try_emplace("HOME", plan_.workspace);
  env.try_emplace("TMPDIR", plan_.workspace);
  if (spec.terminal) env.try_emplace("TERM", "xterm");
  for (const auto& [key, value] : env) image.env.push_back(key + "=" + value);
  image.argv = spec.argv;
  image.candidates = init::search_path(spec.argv[0], env["PATH"]);
  image.workdir = spec.workdir;
  image.terminal = spec.terminal;
  image.attacks = spec.attacks;
  return spawn_image(id, image, std::move(stdio));
}

/// Within what Landlock leaves the box's processes. The filter is for programs: it has no
/// openat2(2), without which no path can be resolved safely.
Result<> Process::serve_files(ProcessId id, Fd socket) {
  init::ProcessImage image = basic_image();
  image.argv = {"caisson-files"};
  image.workdir = plan_.workspace;
  image.serves_files = true;
  image.unfiltered = true;
  backend::Stdio stdio{std::move(socket), TRY(open_fd("/dev/null", O_WRONLY)),
                       TRY(open_fd("/dev/null", O_WRONLY))};
  return spawn_image(id, image, std::move(stdio));
}

Result<backend::Terminal> Process::open_terminal(const std::string&) {
  Fd master = TRY(open_fd("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0) return sys_error("unlock terminal", "");
  Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return sys_error("open terminal", "");
  return backend::Terminal{std::move(master), std::move(slave)};
}

/// Init ends last and has ended everything, unless it was killed itself.
void Process::on_init_gone() {
  do {
    sys::signal_descendants(::getpid(), SIGKILL);
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
  } while (::waitpid(-1, nullptr, __WALL) > 0);
}

}  // namespace

Facts gather_facts() {
  Facts facts;
  facts.root = ::geteuid() == 0;
  const Result<int> abi = sys::landlock_abi();
  facts.landlock_abi = abi.value_or(0);
  if (!abi) {
    facts.landlock_missing = abi.error().message;
    facts.landlock_hint = abi.error().hint;
  }
  return facts;
}

std::unique_ptr<backend::Sandbox> make_process(ProcessOptions options) {
  return std::make_unique<Process>(std::move(options));
}

}  // namespace caisson::process
