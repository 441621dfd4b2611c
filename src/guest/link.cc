#include "guest/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <climits>
#include <vector>

namespace caisson::guest {
namespace {

/// Sources are read while less than this waits to be written; messages always are.
constexpr std::size_t kRoom = 512u << 10;
/// More than this waits only when the other end does not read.
constexpr std::size_t kMostOut = 16u << 20;
/// What an end sends beyond the window when a process ends: all that a pipe may hold (pipe(7)).
constexpr std::uint64_t kRest = 1u << 20;

// What epoll tells of a descriptor.
constexpr std::uint64_t kChannel = 0, kKick = 1, kSource = 2, kSink = 3;
constexpr std::uint64_t tag(std::uint64_t kind, std::uint32_t stream) {
  return kind << 32 | stream;
}

Error protocol_error(std::string message) {
  return make_error(Code::kInvalidArgument, "protocol_error", std::move(message));
}

bool is_socket(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

/// The same pipe or terminal, non-blocking for us alone: others may share the open file that the
/// caller gave us. Not the master of a terminal: who opens /dev/ptmx gets another one, pts(4).
Fd reopen(Fd fd, int flags) {
  struct stat info{};
  const bool shared =
      ::fstat(fd.get(), &info) == 0 &&
      (S_ISFIFO(info.st_mode) || (S_ISCHR(info.st_mode) && info.st_rdev != makedev(5, 2)));
  if (!shared) return fd;  // a regular file has a position, which goes on from where it is
  Fd again(::open(format("/proc/self/fd/{}", fd.get()).c_str(),
                  flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  return again ? std::move(again) : std::move(fd);
}

}  // namespace

Result<Link> Link::create(Fd channel) {
  TRY(set_nonblocking(channel.get()));
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd kick(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !kick) return sys_error("create epoll", "");
  Link link(std::move(channel), std::move(epoll), std::move(kick));
  link.watch(EPOLL_CTL_ADD, link.channel_.get(), EPOLLIN, tag(kChannel, 0));
  link.watch(EPOLL_CTL_ADD, link.kick_.get(), EPOLLIN, tag(kKick, 0));
  return link;
}

void Link::watch(int operation, int fd, std::uint32_t events, std::uint64_t what) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  ::epoll_ctl(epoll_.get(), operation, fd, &event);
}

Result<> Link::run(const OnMessage& on_message) {
  constexpr int kMostEvents = 64;
  epoll_event events[kMostEvents];
  const int count = ::epoll_wait(epoll_.get(), events, kMostEvents, 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t kind = events[i].data.u64 >> 32;
    const auto stream = static_cast<std::uint32_t>(events[i].data.u64);
    if (kind == kChannel && (events[i].events & ~EPOLLOUT) != 0) TRY(receive(on_message));
    if (kind == kKick) {
      std::uint64_t ignored = 0;
      [[maybe_unused]] const ssize_t n = ::read(kick_.get(), &ignored, sizeof ignored);
    }
    if (held_) continue;
    // Earlier events may have ended it.
    if (const auto found = sources_.find(stream); kind == kSource && found != sources_.end())
      pass(stream, found->second, wire::kMaxData);
    if (const auto found = sinks_.find(stream); kind == kSink && found != sinks_.end()) {
      if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 && !found->second.socket)
        refuse(stream);
      else
        write_pending(stream, found->second);
    }
  }
  for (auto it = sources_.begin(); it != sources_.end();) {
    const auto at = it++;
    if (at->second.always_ready) pass(at->first, at->second, wire::kMaxData);
  }
  TRY(write_out());
  update();
  if (out_.empty()) drained_ = 0;
  if (out_.size() > kMostOut + drained_)
    return make_error(Code::kUnavailable, "link_closed", "talk to guest: it does not listen");
  return {};
}

void Link::send(wire::FrameType type, std::string payload) {
  out_ += wire::encode({type, 0, std::move(payload)});
  // It goes at once, as a rule; an error is found again by `run`.
  [[maybe_unused]] const Result<> written = write_out();
  update();
}

bool Link::has_room() const { return !held_ && out_.size() < kRoom; }

void Link::hold(bool on) {
  held_ = on;
  for (auto it = sinks_.begin(); it != sinks_.end();) {
    const auto at = it++;  // it may end
    write_pending(at->first, at->second);
  }
  update();
}

void Link::begin_again() {
  for (auto& [stream, source] : sources_) {
    source.offset = source.debt = 0;
    source.credit = kWindow;
  }
  for (auto& [stream, sink] : sinks_) sink.received = sink.owed = 0;
  hold(false);
}

Result<> Link::write_out() {
  if (!channel_) out_.clear();
  std::size_t done = 0;
  while (done < out_.size()) {
    const ssize_t n = ::write(channel_.get(), out_.data() + done, out_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0)
      return make_error(Code::kUnavailable, "link_closed",
                        format("talk to guest: {}", errno_text(errno)));
    done += static_cast<std::size_t>(n);
  }
  out_.erase(0, done);
  return {};
}

Result<> Link::receive(const OnMessage& on_message) {
  char buffer[64u << 10];
  // In portions, so that a flood does not cost others their turn.
  for (int portions = 0; channel_ && portions < 8; ++portions) {
    const ssize_t n = ::read(channel_.get(), buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n <= 0)
      return make_error(Code::kUnavailable, "link_closed", "talk to guest: the other end is gone");
    reader_.feed({buffer, static_cast<std::size_t>(n)});
    while (std::optional<wire::Frame> frame = TRY(reader_.next()))
      TRY(on_frame(*frame, on_message));
  }
  return {};
}

Result<> Link::on_frame(const wire::Frame& frame, const OnMessage& on_message) {
  switch (frame.type) {
    case wire::FrameType::kData:
      return on_data(frame);
    case wire::FrameType::kCredit:
      return on_credit(frame);
    default:
      return on_message(frame);
  }
}

/// Streams that there are not have been given up by us, and the other end does not know it yet.
Result<> Link::on_data(const wire::Frame& frame) {
  const wire::Data data = TRY(wire::decode_data(frame));
  const auto found = sinks_.find(frame.stream);
  if (found == sinks_.end()) return {};
  Sink& sink = found->second;
  if (sink.ended) return protocol_error("receive data: after the end of its stream");
  if (data.offset != sink.received)
    return protocol_error("receive data: not where it should go on");
  sink.received += data.bytes.size();
  if (sink.pending.size() + data.bytes.size() > kWindow + kRest)
    return protocol_error("receive data: more than was asked for");
  if (data.bytes.empty()) sink.ended = true;
  sink.pending += data.bytes;
  write_pending(frame.stream, sink);
  return {};
}

/// Nothing granted says that nobody reads any more.
Result<> Link::on_credit(const wire::Frame& frame) {
  const std::uint64_t bytes = TRY(wire::decode_credit(frame));
  const auto found = sources_.find(frame.stream);
  if (found == sources_.end()) return {};
  Source& source = found->second;
  if (bytes == 0) {
    forget_source(frame.stream);
    return {};
  }
  if (bytes > kWindow) return protocol_error("receive credit: too much");
  const std::uint64_t paid = std::min(bytes, source.debt);
  source.debt -= paid;
  source.credit += bytes - paid;
  if (source.credit > kWindow) return protocol_error("receive credit: more than was used");
  return {};
}

Result<> Link::read_from(std::uint32_t stream, Fd from) {
  Source source;
  source.socket = is_socket(from.get());
  source.fd = source.socket ? std::move(from) : reopen(std::move(from), O_RDONLY);
  source.always_ready = !TRY(is_polled(source.fd.get()));
  sources_.insert_or_assign(stream, std::move(source));
  update();
  return {};
}

Result<> Link::write_to(std::uint32_t stream, Fd to) {
  Sink sink;
  sink.socket = is_socket(to.get());
  sink.fd = sink.socket ? std::move(to) : reopen(std::move(to), O_WRONLY);
  const int flags = ::fcntl(sink.fd.get(), F_GETFL);
  // What poll(2) calls writable takes that much without waiting, pipe(7).
  if (!sink.socket && (flags & O_NONBLOCK) == 0) sink.most = PIPE_BUF;
  sink.polled = TRY(is_polled(sink.fd.get()));
  // Of a pipe and a terminal epoll tells at once when nobody reads any more.
  if (sink.polled && !sink.socket) watch(EPOLL_CTL_ADD, sink.fd.get(), 0, tag(kSink, stream));
  sinks_.insert_or_assign(stream, std::move(sink));
  return {};
}

/// Regular files and some devices are none.
Result<bool> Link::is_polled(int fd) const {
  epoll_event event{};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    return true;
  }
  if (errno != EPERM) return sys_error("watch stream", "");
  return false;
}

ssize_t Link::read(const Source& source, char* buffer, std::size_t size) {
  return source.socket ? ::recv(source.fd.get(), buffer, size, MSG_DONTWAIT)
                       : ::read(source.fd.get(), buffer, size);
}

bool Link::pass(std::uint32_t stream, Source& source, std::uint64_t most) {
  most = std::min({most, source.credit, static_cast<std::uint64_t>(wire::kMaxData)});
  if (most == 0 || !has_room()) return false;
  char buffer[wire::kMaxData];
  const ssize_t n = read(source, buffer, most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {  // a terminal whose last user is gone answers EIO
    end_source(stream);
    return false;
  }
  const auto size = static_cast<std::size_t>(n);
  out_ += wire::encode_data(stream, source.offset, {buffer, size});
  source.offset += size;
  source.credit -= size;
  return true;
}

void Link::end_source(std::uint32_t stream) {
  const auto found = sources_.find(stream);
  if (found == sources_.end()) return;
  out_ += wire::encode_data(stream, found->second.offset, {});
  forget_source(stream);
}

/// Out of epoll first: another descriptor may share the open file, and would keep it there.
void Link::forget_source(std::uint32_t stream) {
  const auto found = sources_.find(stream);
  if (found == sources_.end()) return;
  if (found->second.armed) watch(EPOLL_CTL_DEL, found->second.fd.get(), 0, 0);
  sources_.erase(found);
}

void Link::forget_sink(std::uint32_t stream) {
  const auto found = sinks_.find(stream);
  if (found == sinks_.end()) return;
  const Sink& sink = found->second;
  if (sink.polled && (!sink.socket || sink.armed)) watch(EPOLL_CTL_DEL, sink.fd.get(), 0, 0);
  sinks_.erase(found);
}

void Link::close_channel() {
  watch(EPOLL_CTL_DEL, channel_.get(), 0, 0);
  channel_.reset();
  out_.clear();
  while (!sources_.empty()) forget_source(sources_.begin()->first);
}

void Link::drain(std::uint32_t stream) {
  for (;;) {
    const auto found = sources_.find(stream);
    if (found == sources_.end()) return;
    Source& source = found->second;
    const std::uint64_t left = kRest - source.debt + source.credit;
    if (left == 0) return;
    pollfd polled{source.fd.get(), POLLIN, 0};
    if (::poll(&polled, 1, 0) <= 0) return;
    char buffer[wire::kMaxData];
    const ssize_t n = read(source, buffer, std::min<std::uint64_t>(sizeof buffer, left));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return end_source(stream);
    const auto size = static_cast<std::size_t>(n);
    out_ += wire::encode_data(stream, source.offset, {buffer, size});
    source.offset += size;
    const std::uint64_t covered = std::min<std::uint64_t>(source.credit, size);
    source.credit -= covered;
    source.debt += size - covered;
    drained_ += size;
  }
}

void Link::drain_all() {
  std::vector<std::uint32_t> streams;
  for (const auto& [stream, source] : sources_) streams.push_back(stream);
  for (std::uint32_t stream : streams) drain(stream);
}

void Link::write_pending(std::uint32_t stream, Sink& sink) {
  if (held_) return;
  while (!sink.pending.empty()) {
    const std::size_t size = std::min(sink.pending.size(), sink.most);
    pollfd polled{sink.fd.get(), POLLOUT, 0};
    if (sink.polled && sink.most != SIZE_MAX && ::poll(&polled, 1, 0) <= 0) break;
    const ssize_t n =
        sink.socket ? ::send(sink.fd.get(), sink.pending.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                    : ::write(sink.fd.get(), sink.pending.data(), size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return refuse(stream);
    sink.pending.erase(0, static_cast<std::size_t>(n));
    sink.owed += static_cast<std::uint64_t>(n);
  }
  if (sink.ended && sink.pending.empty()) return end_sink(stream);
  while (sink.owed >= kWindow / 4) {
    const std::uint64_t granted = std::min(sink.owed, kWindow);
    sink.owed -= granted;
    out_ += wire::encode_credit(stream, granted);
  }
}

void Link::end_sink(std::uint32_t stream) {
  const auto found = sinks_.find(stream);
  if (found->second.socket) ::shutdown(found->second.fd.get(), SHUT_WR);
  forget_sink(stream);
}

void Link::refuse(std::uint32_t stream) {
  out_ += wire::encode_credit(stream, 0);
  forget_sink(stream);
}

bool Link::written(std::uint32_t stream) const {
  const auto found = sinks_.find(stream);
  return found == sinks_.end() || found->second.pending.empty();
}

/// Asks epoll for what can be gone on with, and for nothing else: of what it has it tells the end
/// again and again.
void Link::update() {
  const bool waits = !out_.empty();
  if (channel_ && waits != channel_armed_) {
    channel_armed_ = waits;
    watch(EPOLL_CTL_MOD, channel_.get(), waits ? EPOLLIN | EPOLLOUT : EPOLLIN, tag(kChannel, 0));
  }
  bool kick = false;
  for (auto& [stream, source] : sources_) {
    const bool on = source.credit > 0 && has_room();
    if (source.always_ready) {
      kick = kick || on;
    } else if (on != source.armed) {
      source.armed = on;
      watch(on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source.fd.get(), EPOLLIN, tag(kSource, stream));
    }
  }
  for (auto& [stream, sink] : sinks_) {
    const bool on = !held_ && !sink.pending.empty();
    if (!sink.polled || on == sink.armed) continue;
    sink.armed = on;
    const int operation = !sink.socket ? EPOLL_CTL_MOD : on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    const std::uint32_t events = on ? std::uint32_t{EPOLLOUT} : 0;
    watch(operation, sink.fd.get(), events, tag(kSink, stream));
  }
  const std::uint64_t one = 1;
  if (kick) [[maybe_unused]]
    const ssize_t n = ::write(kick_.get(), &one, sizeof one);
}

}  // namespace caisson::guest
