// Exec's inside: the streams of one process, either carried by the shim (a main process) or
// directly connected pipes (an exec).
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <mutex>

#include "caisson/exec.h"
#include "caisson/limits.h"
#include "engine/channel.h"

namespace caisson {

class Exec::Impl final {
 public:
  struct Parts {
    engine::Channel channel;
    Fd in;        ///< write end or a terminal; may be absent
    Fd out, err;  ///< read ends of an exec's own pipes; absent when the shim carries output
    Fd terminal;  ///< master, for resizing
    bool carried = false;
    std::optional<std::uint32_t> id;         ///< of an exec that can be attached to
    std::array<std::uint64_t, 2> offsets{};  ///< of the streams' next bytes, as far as is known
    OutputLimit limit;
    /// Called once with the end of a main process, to commit it to the record.
    std::function<void(const ExitInfo&)> on_exit;
    /// Called when the shim vanished without telling an end; says what the record knows.
    std::function<Result<ExitInfo>()> on_lost;
  };
  static Result<std::unique_ptr<Impl>> create(Parts parts);

  Result<std::size_t> write_stdin(std::string_view data, const Deadline& deadline);
  Result<> close_stdin();
  Result<std::optional<Output>> next_output(const Deadline& deadline);
  std::optional<std::uint32_t> id() const { return parts_.id; }
  std::uint64_t offset(Stream stream) const;
  int fd() const { return epoll_.get(); }
  int stdin_fd() const { return parts_.in.get(); }
  Result<> resize(unsigned rows, unsigned columns) const;
  Result<> send(const backend::Request& request);
  Result<ExitInfo> wait(const Deadline& deadline);
  Result<Collected> communicate(std::string_view input, const Deadline& deadline);

 private:
  explicit Impl(Parts parts) : parts_(std::move(parts)) {}
  Result<> watch(int fd) const;
  /// Takes in whatever the shim has sent; false when nothing was there.
  Result<bool> take_frames();
  Result<> on_frame(const wire::Frame& frame);
  Result<> lost();
  void set_exit(const ExitInfo& info);
  std::optional<Output> read_pipe(Fd& pipe, Stream stream);
  Result<> count(std::size_t bytes);
  void give_credit(std::uint64_t bytes);
  void collect(Collected& all, const Output& output);

  Parts parts_;
  Fd epoll_;
  Fd ended_;  ///< an eventfd that keeps fd() readable after the end
  struct Queued {
    Output output;
    std::uint64_t offset = 0;
  };
  std::deque<Queued> queue_;
  std::optional<ExitInfo> exit_;
  std::uint64_t total_ = 0, kept_ = 0, dropped_ = 0, owed_credit_ = 0;
  bool limit_hit_ = false;
  std::mutex sending_;
};

}  // namespace caisson
