// A process in the foreground: its output, our input and our signals, until it ends.
#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include "caisson/exec.h"
#include "caisson/exit_info.h"
#include "caisson/result.h"
#include "cli/signals.h"
#include "cli/sink.h"

namespace caisson::cli {

struct SessionOptions {
  int input = -1;                   ///< descriptor that feeds stdin; -1: none
  bool tty = false;                 ///< follow the size of our terminal
  int stop_signal = SIGTERM;        ///< what Ctrl-C sends first
  bool end_process_with_us = true;  ///< false: when our output closes, only detach
};

struct SessionEnd {
  std::optional<ExitInfo> exit;  ///< absent: detached, the process goes on
  bool output_closed = false;    ///< nobody reads our stdout any more
  bool asked = false;            ///< we asked the process to end, or killed it
};

/// Carries everything over one poll loop. The first SIGINT, SIGTERM or SIGHUP asks the process
/// to end and kills it ten seconds later, a second one kills it at once; SIGQUIT, SIGUSR1 and
/// SIGUSR2 are passed on. A process that does not read its input blocks nothing.
class Session final {
 public:
  Session(Exec& exec, SignalCatcher& signals, OutputSink& sink, SessionOptions options)
      : exec_(exec), signals_(signals), sink_(sink), options_(options) {}

  Result<SessionEnd> run();

 private:
  Result<> wait_for_events();
  int time_to_kill() const;
  Result<> handle_signals();
  Result<> handle_signal(int number);
  Result<> request_stop(int number);
  Result<> follow_terminal_size();
  Result<> drain_output();
  Result<> deliver(const Output& output);
  bool can_write(Stream stream);
  Result<> output_closed();
  Result<> kill();
  Result<> read_input();
  Result<> feed();
  bool has_input_to_feed() const { return options_.input >= 0 && !pending_.empty(); }
  Result<> check_end();

  Exec& exec_;
  SignalCatcher& signals_;
  OutputSink& sink_;
  SessionOptions options_;

  std::string pending_;         // read from our stdin, not yet taken by the process
  bool output_waiting_ = true;  // next_output may have more without a new event
  bool output_ended_ = false;
  bool end_announced_ = false;  // the event descriptor spoke after the end of the output
  bool stop_requested_ = false;
  bool killed_ = false;       // by us
  bool drop_output_ = false;  // nobody takes it
  bool detached_ = false;
  Deadline kill_at_;
  SessionEnd end_;
};

}  // namespace caisson::cli
