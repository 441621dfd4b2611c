// Exec: a handle on one process in a box and its streams.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "caisson/exit_info.h"
#include "caisson/result.h"

namespace caisson {

/// A point in time up to which a call may block; absent: without limit.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;
/// `in(5s)`: the deadline that long from now.
inline Deadline in(std::chrono::nanoseconds d) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(d);
}

enum class Stream { kStdout = 1, kStderr = 2 };

/// A piece of output, in the order the process wrote it within one stream.
struct Output {
  Stream stream = Stream::kStdout;
  std::string data;
};

/// Output collected to the end of a process, within its OutputLimit.
struct Collected {
  std::string out;
  std::string err;
  ExitInfo exit;
};

/// One process. Move-only. Not thread-safe, with one exception: `signal` may be called from
/// any thread. Dropping the handle detaches: an exec's process goes on with its output going
/// nowhere (writes fail with EPIPE) unless it has `replay_bytes`, a main process goes on with its
/// output going to the box's log.
///
///     auto exec = box.exec({.command = {"cat"}, .open_stdin = true});
///     auto all = exec->communicate("hello\n");      // all->out == "hello\n"
class Exec {
 public:
  class Impl;
  explicit Exec(std::unique_ptr<Impl> impl);
  Exec(Exec&&) noexcept;
  Exec& operator=(Exec&&) noexcept;
  ~Exec();

  /// Of an exec with `replay_bytes`: for Box::attach. Else absent.
  std::optional<std::uint32_t> id() const;
  /// How many bytes of a stream came before the next one that next_output() returns.
  std::uint64_t offset(Stream stream) const;

  /// Writes some of `data` to stdin and returns how many bytes were taken: 0 when the deadline
  /// passed with the pipe full. Code::kFailedPrecondition (`stdin_closed`) when nothing reads it.
  Result<std::size_t> write_stdin(std::string_view data, Deadline deadline = {});
  /// End of input. Harmless when repeated.
  Result<> close_stdin();

  /// The next piece of output, at most 64 KiB; absent at the end of all output. A passed
  /// deadline is Code::kDeadlineExceeded and loses nothing.
  Result<std::optional<Output>> next_output(Deadline deadline = {});

  /// A descriptor that polls readable (POLLIN) when `next_output` or `wait` has something.
  /// Owned by the Exec; only for polling.
  int fd() const;
  /// A descriptor that polls writable when `write_stdin` would take bytes; -1 after close.
  int stdin_fd() const;

  /// New size of the pseudo-terminal in characters. kFailedPrecondition without one.
  Result<> resize(unsigned rows, unsigned columns);
  /// Sends a signal number of signal(7) to the process. Not an error after its end.
  Result<> signal(int number);
  /// Ends the process now; its ExitReason becomes kKilled.
  Result<> kill();

  /// Waits for the end. Output stays readable; a process waits when 1 MiB of it was not read.
  Result<ExitInfo> wait(Deadline deadline = {});

  /// Feeds `input`, closes stdin, and collects output to the end. A command that does not read
  /// its input does not block this call. The output limit of the exec caps what is
  /// kept of both streams together.
  Result<Collected> communicate(std::string_view input = {}, Deadline deadline = {});

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson
