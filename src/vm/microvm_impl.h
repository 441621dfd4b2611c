// MicroVm's inside.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "guest/link.h"
#include "guest/protocol.h"
#include "sys/cgroup.h"
#include "sys/userns.h"
#include "vm/assets.h"
#include "vm/console.h"
#include "vm/machine.h"
#include "vm/microvm.h"
#include "vm/qemu.h"
#include "vm/qmp.h"
#include "vm/shares.h"
#include "vm/template.h"
#include "vm/terminal.h"

namespace caisson::vm {

class MicroVm final : public backend::Sandbox {
 public:
  explicit MicroVm(MicroVmOptions options) : options_(std::move(options)) {}
  ~MicroVm() override;

  Result<> compare(const backend::CompareRequest& request, int output,
                   const std::function<bool()>& wanted);
  Result<std::vector<std::string>> warm(const std::function<bool()>& wanted);

  Result<backend::Started> start() override;
  Result<> spawn(backend::ProcessId id, const backend::ProcessSpec& spec,
                 backend::Stdio stdio) override;
  Result<> serve_files(backend::ProcessId id, Fd socket) override;
  Result<backend::Terminal> open_terminal(const std::string& user) override;
  Result<> signal(backend::ProcessId id, int number, bool group) override;
  int event_fd() const override { return epoll_.get(); }
  std::vector<backend::ProcessEvent> events() override;
  bool gone() const override;
  bool lost() const override { return failed_; }
  Result<> save(int directory, bool memory, bool stay) override;
  backend::ProcessId last_id() const override;
  Result<> pause() override;
  Result<> resume() override;
  void end() override;
  void kill_all() override;
  Usage usage() override;
  std::uint64_t oom_kills() override { return figures_.oom_kills; }
  std::uint64_t pid_limit_hits() override { return figures_.pid_limit_hits; }
  std::chrono::nanoseconds cpu_time() override;
  std::optional<std::uint64_t> disk_bytes() override;
  Result<> cleanup() override;

 private:
  enum class Phase { kAsked, kStarted, kEnded };
  struct Process {
    Phase phase = Phase::kAsked;
    std::vector<guest::Part> outputs;  ///< what it writes to us
    std::optional<TerminalWatch> terminal;
    bool adopted = false;    ///< it has been running since before our start
    guest::Running streams;  ///< of such a one: those that go on
  };

  // microvm_start.cc
  const BoxSpec& spec() const { return options_.box.spec; }
  /// Instead of going on from a template.
  bool boots() const {
    return spec().machine.cold || !spec().machine.kernel.empty() || files_ || old_ ||
           options_.box.trial;
  }
  guest::Wake identity() const;
  guest::Start start_message() const;
  Result<> begin();
  Result<> boot();
  Result<> open_disks(const std::string& saved);
  Result<> make_cgroup();
  Result<> choose_accelerator(Machine& machine);
  Result<> serve_files_of_host();
  Result<> start_machine(Machine machine);
  Result<> start_empty_machine(Machine machine);
  Result<> boot_machine(Machine machine, std::int64_t patience_ns);
  Result<> launch(Machine machine);
  void take_down();
  Result<> wake(bool resumed = false);
  Result<> start_box();
  /// What the user gives a guest for each step of its start.
  std::int64_t patience_ns() const;
  /// Goes on until `done`, or until the deadline: then, and when the guest is gone, it is an error.
  Result<> await(const std::function<bool()>& done, std::int64_t deadline_ns, const char* action);
  Error with_console(Error error) const;

  // microvm_template.cc
  Result<> go_on_from(Saved saved, Machine machine, bool resumed);
  Result<> resume_template(const Machine& machine);
  Result<> make_template(int templates, const std::string& name, Machine machine);
  Result<Saved> get_template(int templates, const std::string& name, const Machine& machine);
  bool can_be_template() const;
  Result<std::string> name_of_box(const Machine& machine) const;
  Result<bool> resume_box_template(Machine machine);
  Result<> make_box_template(std::int64_t patience_ns);
  Result<> save_devices(int state);

  // microvm_compare.cc
  Result<> take_differences(int output, std::uint64_t most);

  // microvm_save.cc
  bool has_saved_memory() const;
  Result<> resume_saved(Machine machine);
  Result<> go_on(Machine machine);
  Result<> adopt(const std::vector<guest::Running>& processes);
  Result<> freeze();
  Result<> save_files(int directory, bool memory);
  Result<> save_all_memory(int directory);
  Result<> take_main(backend::Stdio stdio);
  void thaw();
  Result<> save_still(int directory, bool memory);

  // microvm_trial.cc
  Result<> attack_from_machine(int report);
  void leave_out(std::vector<std::string>& words) const;

  // microvm.cc
  Result<Qmp*> control();
  Result<> watch(int fd) const;
  void tell(const guest::ToGuest& message);
  void run_link();
  Result<> on_message(const wire::Frame& frame);
  Result<> handle(const guest::Hello& message);
  Result<> handle(const guest::Awake& message);
  Result<> handle(const guest::Frozen& message);
  Result<> handle(guest::Started message);
  Result<> handle(const guest::Figures& message);
  Result<> handle(guest::Event message);
  Result<> handle(const guest::Gone& message);
  Result<> check(const backend::ProcessEvent& event) const;
  bool is_written(backend::ProcessId id) const;
  struct Held {
    backend::ProcessEvent event;
    std::int64_t since_ns;
  };
  bool is_told(const Held& held) const;
  void look_at_time();
  void read_terminals();
  void look_at_files();
  void reap();
  void let_go();
  Result<> stop_machine();
  void ask_figures();
  void kill_machine();
  void fail(const Error& error);

  MicroVmOptions options_;
  const backend::CompareRequest* compares_ = nullptr;  ///< instead of running a box
  bool warms_ = false;                                 ///< likewise
  std::function<bool()> wanted_;                       ///< whether anybody waits for that
  Fd differences_;                                     ///< as they come
  std::uint64_t taken_ = 0;                            ///< bytes of them
  Fd epoll_, kick_, timer_;
  bool ticks_ = false;
  std::optional<sys::Cgroup> cgroup_;
  sys::ClaimedRange ids_;
  std::optional<Console> console_;
  std::optional<guest::Link> link_;
  std::optional<Qmp> qmp_;
  Fd qmp_socket_;
  Qemu qemu_;
  Machine machine_;  ///< that runs; its descriptors may be gone
  Fd memory_;        ///< the file that its memory is, or begins with
  Assets assets_;
  Fd data_, base_, disk_, old_;
  std::unique_ptr<FileServer> files_;
  std::optional<Shared> shared_;
  std::vector<std::string> warnings_;
  std::vector<StageTiming> stages_;

  bool hello_ = false, awake_ = false;
  bool boots_ = true;                       // a guest came up, or none was to
  std::uint32_t freezes_ = 0, frozen_ = 0;  ///< the last that was asked for, and answered
  bool resumes_ = false;                    ///< its processes are there already
  bool made_ = false;                       ///< its box is there already
  bool makes_template_ = false;             ///< others can go on from its box
  bool asleep_ = false;                     ///< it was saved to go on another time
  std::optional<guest::Started> started_;
  std::map<backend::ProcessId, Process> processes_;
  std::optional<TerminalWatch> next_terminal_;  ///< of the terminal that was opened last
  std::deque<Held> events_;                     ///< ends wait until what came before is written
  guest::Figures figures_;
  std::uint64_t answers_ = 0;  ///< figures that came
  bool paused_ = false;
  bool box_gone_ = false;  ///< the guest has said so
  bool failed_ = false;    ///< the guest did what it must not, or is gone
  bool ended_ = false;     ///< QEMU was reaped
  std::int64_t ended_ns_ = 0;
  std::int64_t gone_ns_ = 0;  ///< when the guest said that nothing is left
  bool silent_ = false;       ///< it did not answer the last question
  bool told_to_end_ = false, forced_ = false;
};

}  // namespace caisson::vm
