// LogStream: what is there of a box's log, then what comes.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caisson/log.h"
#include "engine/box_impl.h"
#include "engine/log_reader.h"

namespace caisson {

class LogStream::Impl final {
 public:
  Impl(const std::string& data, LogOptions options) : reader_(data), options_(options) {}

  /// Before anything is read, so that nothing that comes meanwhile is missed.
  Result<> follow(const Box::Impl& box, const std::string& data) {
    const std::string logs = data + "/logs";
    if (::mkdir(logs.c_str(), 0700) < 0 && errno != EEXIST) {
      if (errno == ENOENT) return {};  // it was never started
      return sys_error("create directory", logs);
    }
    epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    watch_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!epoll_ || !watch_) return sys_error("watch", logs);
    if (::inotify_add_watch(watch_.get(), logs.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
      return sys_error("watch", logs);
    TRY(poll_for(watch_.get()));
    Result<engine::Channel> channel = box.connect();
    if (!channel) return {};  // it has ended
    TRY(channel->send(backend::WaitRequest{}));
    TRY(poll_for(channel->fd()));
    end_.emplace(std::move(*channel));
    return {};
  }

  int fd() const { return epoll_.get(); }

  Result<> start() {
    if (!options_.tail) return {};
    while (std::optional<LogRecord> record = TRY(read())) kept_.push_back(std::move(*record));
    if (*options_.tail == 0)
      kept_.clear();
    else
      engine::keep_tail(kept_, *options_.tail);
    return {};
  }

  Result<std::optional<LogRecord>> next(const Deadline& deadline) {
    for (;;) {
      if (!kept_.empty()) {
        std::optional<LogRecord> record(std::move(kept_.front()));
        kept_.pop_front();
        return record;
      }
      if (end_) {
        char notices[4096];
        while (::read(watch_.get(), notices, sizeof notices) > 0) {
        }
      }
      const bool over = !end_;  // looked at before the log is read for the last time
      if (std::optional<LogRecord> record = TRY(read())) return record;
      if (over) return std::optional<LogRecord>();
      pollfd polled[2] = {{watch_.get(), POLLIN, 0}, {end_->fd(), POLLIN, 0}};
      const int ready = ::poll(polled, 2, engine::poll_timeout(deadline));
      if (ready == 0) return engine::deadline_passed("wait for output");
      if (ready < 0 && errno != EINTR) return sys_error("wait for output", "");
      if (ready > 0 && polled[1].revents != 0) end_.reset();
    }
  }

 private:
  Result<> poll_for(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return sys_error("watch log", "");
    return {};
  }
  Result<std::optional<LogRecord>> read() {
    for (;;) {
      std::optional<LogRecord> record = TRY(reader_.next());
      if (!record || record->time_ns >= options_.since_ns.value_or(INT64_MIN)) return record;
    }
  }

  engine::LogReader reader_;
  LogOptions options_;
  std::deque<LogRecord> kept_;
  Fd epoll_, watch_;
  std::optional<engine::Channel> end_;  ///< tells the end of the run; absent: it is over
};

LogStream::LogStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LogStream::LogStream(LogStream&&) noexcept = default;
LogStream& LogStream::operator=(LogStream&&) noexcept = default;
LogStream::~LogStream() = default;

int LogStream::fd() const { return impl_->fd(); }
Result<std::optional<LogRecord>> LogStream::next(Deadline deadline) {
  return impl_->next(deadline);
}

Result<LogStream> Box::log(const LogOptions& options) const {
  TRY(impl_->row());
  const std::string data = impl_->runtime->layout.box(impl_->id);
  auto stream = std::make_unique<LogStream::Impl>(data, options);
  if (options.follow) TRY(stream->follow(*impl_, data));
  TRY(stream->start());
  return LogStream(std::move(stream));
}

Result<std::vector<Output>> Box::logs() const {
  LogStream stream = TRY(log());
  std::vector<Output> pieces;
  while (std::optional<LogRecord> record = TRY(stream.next()))
    pieces.push_back({record->stream, std::move(record->data)});
  return pieces;
}

}  // namespace caisson
