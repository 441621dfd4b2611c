// Shim: owns one box. Starts it, serves its clients, enforces its time limits, tells how it ended.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "backend/protocol.h"
#include "backend/sandbox.h"
#include "container/container.h"
#include "shim/connection.h"
#include "shim/countdown.h"
#include "shim/ending.h"
#include "shim/log.h"
#include "shim/main_output.h"
#include "shim/poller.h"
#include "shim/replay.h"
#include "telemetry/audit.h"
#include "telemetry/metrics.h"

namespace caisson::shim {

/// The descriptor of the box's lock, held to our end.
inline constexpr int kClaim = 4;

class Shim final {
 public:
  /// `prepares`: a container is to be started, so whatever does not depend on which one is done at
  /// once.
  Shim(Poller poller, Fd control, bool prepares);
  /// Serves until the box has ended and everybody knows. Returns the program's exit status.
  int run();

 private:
  struct Carrier;
  // shim.cc: connections and their requests
  void add_connection(Fd socket);
  void accept_clients();
  void on_ready(int fd, std::uint32_t events);
  bool read_frames(Connection& connection);
  bool on_frame(Connection& connection, const wire::Frame& frame);
  void on_request(Connection& connection, backend::Request request);
  void flush(Connection& connection);
  void drop(int fd);
  void attach(Connection& connection, const std::optional<backend::Started>& started,
              const AttachOptions& options);

  void handle(Connection&, backend::StartRequest);
  void handle(Connection&, const backend::ExecRequest&);
  void handle(Connection&, backend::FilesRequest);
  void handle(Connection&, backend::AttachRequest);
  void handle(Connection&, backend::WaitRequest);
  void handle(Connection&, backend::SignalRequest);
  void handle(Connection&, backend::KillRequest);
  void handle(Connection&, backend::StopRequest);
  void handle(Connection&, backend::StatsRequest);
  void handle(Connection&, backend::StartedRequest);
  void handle(Connection&, const backend::CopyRequest&);
  void handle(Connection&, const backend::DiffRequest&);
  void handle(Connection&, const backend::LayerRequest&);
  void handle(Connection&, const backend::CompareRequest&);
  void handle(Connection&, const backend::WarmRequest&);
  void handle(Connection&, backend::PauseRequest);
  void handle(Connection&, backend::ResumeRequest);
  void handle(Connection&, const backend::SaveRequest&);
  void handle(Connection&, const backend::RemoveRequest&);
  void handle(Connection&, const backend::DiskRequest&);
  void answer_and_leave(Connection& connection, const Result<>& done, backend::Reply reply = {});
  void without_box(Connection&, const std::function<Result<>()>& work);

  // pausing.cc
  enum class Paused { kNot, kByCaller, kByItself, kHeld };
  Result<> mark_paused() const;
  Result<> pause(Paused why);
  void stand_still(Paused why);
  Result<> resume();
  Result<> wake();
  void note_activity();
  void become_idle();
  void release_hold();
  void run_waiting_soon();
  void run_waiting();

  // output.cc: what the shim carries of processes' output
  Carrier& carry(backend::ProcessId id, Log* log, std::uint64_t replay_bytes);
  void pass_on(backend::ProcessId id, std::uint32_t stream, std::uint64_t offset,
               std::string_view bytes);
  std::array<std::uint64_t, 2> follow(Connection& connection, backend::ProcessId id,
                                      const AttachOptions& options);
  void pump(Connection& connection);
  void update_room();
  void drain_carried(backend::ProcessId id);
  void end_carried(backend::ProcessId id, ExitInfo& exit);
  void send_exits(backend::ProcessId id, const ExitInfo& exit);

  // restart.cc: another run of the main process
  bool restarts(const ExitInfo& exit) const;
  void begin_again();
  void start_again();
  void write_status();

  // health.cc
  void start_health();
  void check_health();
  void read_health();
  void on_health_ended(const ExitInfo& exit);

  // account.cc: what the audit log and the metrics are told
  void open_accounts();
  void tell_started();
  void tell_ended(const ExitInfo& exit);
  void tell_exec_started(backend::ProcessId id);
  void tell_exec_ended(backend::ProcessId id, const ExitInfo& exit);
  void tell_exec_failed(backend::ProcessId id, const Error& error);
  void tell_paused(std::string_view event, Paused why);

  // lifetime.cc: the box from start to end
  Result<> start();
  Result<std::unique_ptr<backend::Sandbox>> make_sandbox();
  Result<> start_sandbox();
  Result<> start_at_rest();
  Result<> spawn_main();
  void on_sandbox();
  void on_event(const backend::ProcessEvent& event);
  void on_started(backend::ProcessId id);
  void limit_time(backend::ProcessId id, std::chrono::nanoseconds time);
  void on_failed(backend::ProcessId id, const Error& error);
  void on_exec_ended(const backend::ProcessEvent& event);
  void start_limits();
  void check_cpu_time();
  void check_disk();
  /// Ends the whole box because of `reason`; the first reason counts.
  void end_box(ExitReason reason);
  /// The stop signal, then after `grace` the end.
  void stop_box(ExitReason reason, std::chrono::nanoseconds grace);
  void end_sandbox();
  void kill_after(std::int64_t ns);
  void finish();
  void finish_at_rest();
  void end_execs();
  void finish_with(const backend::EndedRecord& record);
  /// Calls `handler` unless another run of the main process has begun, or all is over.
  void after_in_run(std::int64_t ns, std::function<void()> handler);
  void fail_start(const Error& error);
  Result<> keep_record(const std::string& record) const;
  void close_listener();
  std::vector<int> clients() const;
  void flush_all();
  void leave_soon();
  void wait_for_readers();

  struct Process {
    int client = -1;  ///< the connection that waits for it
    std::int64_t started_ns = 0;
    EndingFacts facts;
    Countdown wall_time;
    std::vector<std::string> command;  ///< of an exec, with user and kind, for the audit log
    std::string user;
    bool has_terminal = false;
    enum class Kind { kProgram, kFiles, kHealth } kind = Kind::kProgram;
    std::int64_t asked_ns = 0;
    Fd terminal;  ///< master, until it is handed to the client
    std::uint64_t oom_before = 0;
  };
  /// A process whose output we carry. One of an exec stays for a while after its end.
  struct Carrier {
    explicit Carrier(Replay kept) : replay(std::move(kept)) {}
    Replay replay;
    std::optional<MainOutput> output;
    OutputLimit limit;
    std::optional<ExitInfo> exit;
  };
  MainOutput& main_output() { return *carriers_.at(backend::kMainProcess)->output; }

  Poller poller_;
  bool boxes_have_our_id_;                                     ///< an ordinary user's do
  std::optional<Result<container::Preparation>> preparation_;  ///< of a container
  /// For restarts; after the first preparation they could not be found out any more.
  std::optional<std::pair<sys::CgroupLayout, container::Facts>> surroundings_;
  backend::StartRequest box_;
  std::vector<Fd> held_;  ///< came with the request: what keeps the root file system there
  std::unique_ptr<backend::Sandbox> sandbox_;
  std::optional<telemetry::Metrics> metrics_;
  std::optional<telemetry::AuditLog> audit_;
  std::optional<Log> log_;
  std::map<backend::ProcessId, std::unique_ptr<Carrier>> carriers_;
  backend::Status told_;  ///< in the file `status`
  std::uint64_t run_ = 0;
  std::uint64_t output_before_ = 0, dropped_before_ = 0;  ///< of earlier runs
  bool stays_ended_ = false;  ///< the caller or a limit of the whole box wants it so
  std::optional<backend::EndedRecord> last_run_;  ///< between two runs
  std::int64_t restart_delay_ns_ = 0;
  unsigned failures_ = 0;  ///< of the health check, in a row
  bool was_healthy_ = false;
  static constexpr std::size_t kMostHealthOutput = 4096;
  std::string health_output_;
  Fd health_pipe_;
  std::optional<backend::Started> started_;
  Fd listener_, directory_;  ///< the box's
  Fd main_stdin_;            ///< kept until a client takes it
  std::map<int, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> dropped_;  ///< freed when no handler is running
  std::map<backend::ProcessId, Process> processes_;
  backend::ProcessId next_process_ = backend::kMainProcess + 1;
  std::uint64_t total_at_end_ = 0;  ///< of main's output
  std::int64_t asked_ns_ = 0, main_started_ns_ = 0, main_ended_ns_ = 0, exec_began_ns_ = 0;
  Countdown wall_time_, idle_time_;
  Paused paused_ = Paused::kNot;
  std::vector<std::pair<int, backend::Request>> waiting_;  ///< connection; for a hold's end
  bool running_ = false;
  bool ending_ = false;  ///< the sandbox was asked to end
  bool done_ = false;
  bool leaving_ = false;  ///< a client is let go as soon as it has everything
  int status_ = 0;
};

}  // namespace caisson::shim
