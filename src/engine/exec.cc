#include "caisson/exec.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "engine/exec_impl.h"

namespace caisson {

using engine::deadline_passed;
using engine::poll_timeout;

namespace {

/// write(2) on a pipe without readers raises SIGPIPE; an embedding program must not see it.
ssize_t write_without_sigpipe(int fd, std::string_view data) {
  sigset_t pipe, before, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t n = ::write(fd, data.data(), data.size());
  const int err = errno;
  if (n < 0 && err == EPIPE && !was_pending) {
    const timespec zero{};
    while (::sigtimedwait(&pipe, nullptr, &zero) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = err;
  return n;
}

std::size_t index_of(Stream stream) { return stream == Stream::kStderr ? 1 : 0; }

}  // namespace

Result<std::unique_ptr<Exec::Impl>> Exec::Impl::create(Parts parts) {
  std::unique_ptr<Impl> impl(new Impl(std::move(parts)));
  impl->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  impl->ended_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->epoll_ || !impl->ended_) return sys_error("create event descriptor", "");
  TRY(impl->watch(impl->ended_.get()));
  TRY(impl->watch(impl->parts_.channel.fd()));
  for (const Fd* fd : {&impl->parts_.out, &impl->parts_.err}) {
    if (!*fd) continue;
    TRY(set_nonblocking(fd->get()));
    TRY(impl->watch(fd->get()));
  }
  if (impl->parts_.in) TRY(set_nonblocking(impl->parts_.in.get()));
  return impl;
}

Result<> Exec::Impl::watch(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return sys_error("watch exec", "");
  return {};
}

Result<std::size_t> Exec::Impl::write_stdin(std::string_view data, const Deadline& deadline) {
  if (!parts_.in)
    return make_error(Code::kFailedPrecondition, "stdin_closed",
                      "write to stdin of process: it is closed");
  if (data.empty()) return std::size_t{0};
  for (;;) {
    const ssize_t n = write_without_sigpipe(parts_.in.get(), data);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EPIPE || errno == EIO)
      return make_error(Code::kFailedPrecondition, "stdin_closed",
                        "write to stdin of process: nothing reads it");
    if (errno != EAGAIN && errno != EINTR) return sys_error("write to stdin of process", "");
    pollfd polled{parts_.in.get(), POLLOUT, 0};
    if (::poll(&polled, 1, poll_timeout(deadline)) == 0) return std::size_t{0};
  }
}

Result<> Exec::Impl::close_stdin() {
  parts_.in.reset();
  return {};
}

Result<bool> Exec::Impl::take_frames() {
  if (exit_) return false;
  bool any = false;
  for (;;) {
    Result<std::optional<wire::Frame>> frame = parts_.channel.poll_frame();
    if (!frame) {
      if (frame.error().reason != "box_gone") return frame.error();
      TRY(lost());
      return true;
    }
    if (!*frame) return any;
    TRY(on_frame(**frame));
    any = true;
    if (exit_) return true;
  }
}

Result<> Exec::Impl::on_frame(const wire::Frame& frame) {
  if (frame.type == wire::FrameType::kEvent) {
    set_exit(TRY(backend::decode_exit(frame.payload)));
  } else if (frame.type == wire::FrameType::kData) {
    const wire::Data data = TRY(wire::decode_data(frame));
    queue_.push_back(
        {{frame.stream == 2 ? Stream::kStderr : Stream::kStdout, std::string(data.bytes)},
         data.offset});
  }
  return {};
}

Result<> Exec::Impl::lost() {
  ExitInfo info;  // reason lost
  if (parts_.on_lost) info = TRY(parts_.on_lost());
  set_exit(info);
  return {};
}

void Exec::Impl::set_exit(const ExitInfo& info) {
  if (exit_) return;
  exit_ = info;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(ended_.get(), &one, sizeof one);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, parts_.channel.fd(), nullptr);
  if (parts_.on_exit) parts_.on_exit(*exit_);
  // The end of a box: its shim clears up.
  if (parts_.carried && !parts_.id) parts_.channel.await_close();
}

std::optional<Output> Exec::Impl::read_pipe(Fd& pipe, Stream stream) {
  if (!pipe) return std::nullopt;
  std::string data;
  data.resize(64u << 10);
  const ssize_t n = ::read(pipe.get(), data.data(), data.size());
  if (n > 0) {
    data.resize(static_cast<std::size_t>(n));
    return Output{stream, std::move(data)};
  }
  if (n == 0 || (errno != EAGAIN && errno != EINTR)) pipe.reset();  // a terminal's end is EIO
  return std::nullopt;
}

/// The output limit of an exec whose pipes are ours; the shim counts what it carries.
Result<> Exec::Impl::count(std::size_t bytes) {
  total_ += bytes;
  if (parts_.carried || limit_hit_ || total_ <= parts_.limit.max_bytes ||
      parts_.limit.action != OutputAction::kKill)
    return {};
  limit_hit_ = true;
  return send(backend::KillRequest{ExitReason::kOutputLimit});
}

Result<std::optional<Output>> Exec::Impl::next_output(const Deadline& deadline) {
  for (;;) {
    if (!queue_.empty()) {
      Output output = std::move(queue_.front().output);
      parts_.offsets[index_of(output.stream)] = queue_.front().offset + output.data.size();
      queue_.pop_front();
      total_ += output.data.size();
      give_credit(output.data.size());
      return std::optional<Output>(std::move(output));
    }
    TRY(take_frames());
    if (!queue_.empty()) continue;
    for (auto [pipe, stream] :
         {std::pair{&parts_.out, Stream::kStdout}, std::pair{&parts_.err, Stream::kStderr}}) {
      if (std::optional<Output> output = read_pipe(*pipe, stream)) {
        parts_.offsets[index_of(stream)] += output->data.size();
        TRY(count(output->data.size()));
        return output;
      }
    }
    // After the end nothing more is waited for: a daemon that an exec left behind may hold its
    // pipes open for ever. What it had written by then has been read above.
    if (exit_) return std::optional<Output>();
    if (!parts_.carried && !parts_.out && !parts_.err) return std::optional<Output>();
    pollfd polled{epoll_.get(), POLLIN, 0};
    if (::poll(&polled, 1, poll_timeout(deadline)) == 0) return deadline_passed("wait for output");
  }
}

std::uint64_t Exec::Impl::offset(Stream stream) const {
  for (const Queued& queued : queue_)
    if (queued.output.stream == stream) return queued.offset;
  return parts_.offsets[index_of(stream)];
}

/// Lets the shim send as much again as was taken, in steps worth a message.
void Exec::Impl::give_credit(std::uint64_t bytes) {
  owed_credit_ += bytes;
  if (exit_ || owed_credit_ < wire::kInitialCredit / 4) return;
  const std::lock_guard lock(sending_);
  // A shim that has gone has no use for it, and what it sent before is still to be read.
  [[maybe_unused]] Result<> sent = parts_.channel.send(wire::encode_credit(1, owed_credit_));
  owed_credit_ = 0;
}

Result<> Exec::Impl::resize(unsigned rows, unsigned columns) const {
  if (!parts_.terminal)
    return make_error(Code::kFailedPrecondition, "no_terminal",
                      "resize terminal: the process has none");
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  if (::ioctl(parts_.terminal.get(), TIOCSWINSZ, &size) < 0)
    return sys_error("resize terminal", "");
  return {};
}

Result<> Exec::Impl::send(const backend::Request& request) {
  const std::lock_guard lock(sending_);
  Result<> sent = parts_.channel.send(request);
  // The process or its box has ended meanwhile: there is nothing left to tell.
  if (!sent && sent.error().code == Code::kUnavailable) return {};
  return sent;
}

Result<ExitInfo> Exec::Impl::wait(const Deadline& deadline) {
  while (!exit_) {
    TRY(take_frames());
    if (exit_) break;
    pollfd polled{parts_.channel.fd(), POLLIN, 0};
    if (::poll(&polled, 1, poll_timeout(deadline)) == 0) return deadline_passed("wait for process");
  }
  ExitInfo info = *exit_;
  if (!parts_.carried) info.output_bytes = total_;
  if (!parts_.carried || parts_.id) info.output_dropped_bytes = dropped_;
  return info;
}

void Exec::Impl::collect(Collected& all, const Output& output) {
  const std::uint64_t room = parts_.limit.max_bytes - std::min(parts_.limit.max_bytes, kept_);
  const std::size_t kept = std::min<std::uint64_t>(room, output.data.size());
  kept_ += kept;
  dropped_ += output.data.size() - kept;
  (output.stream == Stream::kStderr ? all.err : all.out).append(output.data, 0, kept);
}

Result<Collected> Exec::Impl::communicate(std::string_view input, const Deadline& deadline) {
  Collected all;
  if (input.empty()) TRY(close_stdin());
  for (;;) {
    const Deadline at_once = std::chrono::steady_clock::now();
    // Feed only what is taken at once, and read in between: neither side can block the other.
    while (!input.empty() && parts_.in) {
      Result<std::size_t> taken = write_stdin(input, at_once);
      if (taken && *taken == 0) break;
      input = taken ? input.substr(*taken) : std::string_view();
      if (input.empty()) TRY(close_stdin());
    }
    Result<std::optional<Output>> output = next_output(input.empty() ? deadline : at_once);
    if (output && !*output) break;
    if (output) {
      collect(all, **output);
      continue;
    }
    if (output.error().code != Code::kDeadlineExceeded || input.empty()) return output.error();
    pollfd polled[2] = {{epoll_.get(), POLLIN, 0}, {parts_.in.get(), POLLOUT, 0}};
    if (::poll(polled, 2, poll_timeout(deadline)) == 0) return deadline_passed("feed process");
  }
  all.exit = TRY(wait(deadline));
  return all;
}

Exec::Exec(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Exec::Exec(Exec&&) noexcept = default;
Exec& Exec::operator=(Exec&&) noexcept = default;
Exec::~Exec() = default;

Result<std::size_t> Exec::write_stdin(std::string_view data, Deadline deadline) {
  return impl_->write_stdin(data, deadline);
}
Result<> Exec::close_stdin() { return impl_->close_stdin(); }
Result<std::optional<Output>> Exec::next_output(Deadline deadline) {
  return impl_->next_output(deadline);
}
std::optional<std::uint32_t> Exec::id() const { return impl_->id(); }
std::uint64_t Exec::offset(Stream stream) const { return impl_->offset(stream); }
int Exec::fd() const { return impl_->fd(); }
int Exec::stdin_fd() const { return impl_->stdin_fd(); }
Result<> Exec::resize(unsigned rows, unsigned columns) { return impl_->resize(rows, columns); }
Result<> Exec::signal(int number) { return impl_->send(backend::SignalRequest{number}); }
Result<> Exec::kill() { return impl_->send(backend::KillRequest{ExitReason::kKilled}); }
Result<ExitInfo> Exec::wait(Deadline deadline) { return impl_->wait(deadline); }
Result<Collected> Exec::communicate(std::string_view input, Deadline deadline) {
  return impl_->communicate(input, deadline);
}

}  // namespace caisson
