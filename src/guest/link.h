// Link: one byte stream between host and guest that carries messages, and the streams of many
// processes beside each other (docs/formats/guest.md). Both ends use it. Single-threaded.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/fd.h"
#include "wire/frame.h"

namespace caisson::guest {

/// What a receiver takes of each stream before it has said that it wants more.
constexpr std::uint64_t kWindow = 256u << 10;

class Link final {
 public:
  /// A request, a reply or an event. An error ends the link.
  using OnMessage = std::function<Result<>(const wire::Frame&)>;

  /// `channel` is a stream that poll(2) knows; it is made non-blocking.
  static Result<Link> create(Fd channel);

  /// Polls readable when `run` has something to do; the same all the time.
  int event_fd() const { return epoll_.get(); }
  /// Does what can be done without waiting. Errors are final: `link_closed` when the other end is
  /// gone, `protocol_error` when it does not keep to the format.
  Result<> run(const OnMessage& on_message);

  void send(wire::FrameType type, std::string payload);
  bool open() const { return channel_.valid(); }
  /// Nothing that was sent waits to be written.
  bool flushed() const { return out_.empty(); }

  /// What can be read from `from` goes to the other end, then its end.
  Result<> read_from(std::uint32_t stream, Fd from);
  /// What the other end sends is written to `to`, which is closed at its end. Of a socket only
  /// the writing half is shut down before.
  Result<> write_to(std::uint32_t stream, Fd to);
  /// Sends what can be read at once, whatever the other end has asked for: its process has ended.
  void drain(std::uint32_t stream);
  void drain_all();
  /// Closes one direction or both of a stream, which the other end is not told.
  void forget_source(std::uint32_t stream);
  void forget_sink(std::uint32_t stream);
  void forget(std::uint32_t stream) {
    forget_source(stream);
    forget_sink(stream);
  }
  /// While it is on nothing is begun: no stream is read or written, no credit is given. What was
  /// sent before goes out, and what comes is taken.
  void hold(bool on);
  /// The other end is a new one, which knows nothing of what was: every stream begins at 0 with the
  /// whole window.
  void begin_again();

  /// The other end is gone as it should be: what has come goes on being written, and no more comes.
  void close_channel();

  /// What has come has been written, or nobody takes it any more.
  bool written(std::uint32_t stream) const;
  bool reads(std::uint32_t stream) const { return sources_.contains(stream); }
  bool writes(std::uint32_t stream) const { return sinks_.contains(stream); }

 private:
  struct Source {
    Fd fd;
    std::uint64_t offset = 0;
    std::uint64_t credit = kWindow;
    std::uint64_t debt = 0;     ///< sent beyond the credit
    bool always_ready = false;  ///< a regular file, which epoll(7) does not take
    bool socket = false, armed = false;
  };
  struct Sink {
    Fd fd;
    std::string pending;
    std::uint64_t received = 0;
    std::uint64_t owed = 0;       ///< written, and not yet granted again
    std::size_t most = SIZE_MAX;  ///< of one write
    bool socket = false, polled = false, ended = false, armed = false;
  };

  Link(Fd channel, Fd epoll, Fd kick)
      : channel_(std::move(channel)), epoll_(std::move(epoll)), kick_(std::move(kick)) {}

  Result<> receive(const OnMessage& on_message);
  Result<> on_frame(const wire::Frame& frame, const OnMessage& on_message);
  Result<> on_data(const wire::Frame& frame);
  Result<> on_credit(const wire::Frame& frame);
  Result<> write_out();
  bool has_room() const;
  Result<bool> is_polled(int fd) const;
  static ssize_t read(const Source& source, char* buffer, std::size_t size);
  /// Returns false when nothing more can be read from it now.
  bool pass(std::uint32_t stream, Source& source, std::uint64_t most);
  void end_source(std::uint32_t stream);
  void write_pending(std::uint32_t stream, Sink& sink);
  void end_sink(std::uint32_t stream);
  void refuse(std::uint32_t stream);
  void watch(int operation, int fd, std::uint32_t events, std::uint64_t what) const;
  void update();

  Fd channel_, epoll_, kick_;
  wire::FrameReader reader_;
  std::string out_;
  std::uint64_t drained_ = 0;  ///< of `out_`, at most: what `drain` put there
  bool channel_armed_ = false, held_ = false;
  std::map<std::uint32_t, Source> sources_;
  std::map<std::uint32_t, Sink> sinks_;
};

}  // namespace caisson::guest
