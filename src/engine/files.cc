// The files of a box: requests and answers.
#include "caisson/files.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "engine/audit.h"
#include "engine/files_impl.h"
#include "sys/socket.h"

namespace caisson {

using engine::Channel;
using files::Answer;
using files::Op;
using files::Request;

namespace {

Error ended() {
  return make_error(Code::kUnavailable, "files_ended",
                    "use files of box: the process that serves them is gone",
                    "the box has ended, or a limit has ended the process");
}

Error translated(const Error& error) { return error.reason == "box_gone" ? ended() : error; }

/// A connection to the box's shim, running or not.
Result<Channel> connect(const Box::Impl& box, bool running) {
  if (running) {  // a shim may be there that only serves files
    const store::BoxRow row = TRY(engine::settle(*box.runtime, TRY(box.row())));
    if (!engine::is_live(row.state))
      return make_error(Code::kFailedPrecondition, "box_not_running",
                        format("watch files of box '{}': it is {}", box.id, row.state),
                        format("caisson start {}", box.id));
  }
  Result<Channel> channel = box.connect();
  if (channel || running || channel.error().reason != "box_not_running") return channel;
  return engine::start_at_rest(*box.runtime, box.id);
}

Result<Channel> request_service(Channel& shim) {
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_STREAM));
  TRY(shim.send(backend::FilesRequest{}, {pair.theirs.get()}));
  TRY(shim.reply());
  return Channel(std::move(pair.ours));
}

Result<> check(std::string_view path) {
  if (path.starts_with('/') && path.find('\0') == path.npos) return {};
  return make_error(Code::kInvalidArgument, "path_invalid",
                    format("use path '{}': it is not absolute", path));
}

}  // namespace

Result<std::shared_ptr<Files::Impl>> Files::Impl::open(std::shared_ptr<const Box::Impl> box,
                                                       bool running) {
  Error last;
  // It may start or end at this moment.
  for (int tries = 0; tries < 5; ++tries) {
    if (tries > 0) ::usleep(20'000);
    Result<Channel> shim = caisson::connect(*box, running);
    // Who serves the files of a box that does not run does so for all.
    const bool again = !shim && !running &&
                       (shim.error().reason == "box_running" || shim.error().reason == "box_busy");
    if (!shim && !again) return shim.error();
    if (shim) {
      Result<Channel> session = request_service(*shim);
      if (session)
        return std::shared_ptr<Impl>(
            new Impl(std::move(box), std::move(*shim), std::move(*session)));
      if (session.error().reason != "box_not_running" && session.error().reason != "box_gone")
        return session.error();
      last = session.error();
    } else {
      last = shim.error();
    }
  }
  return last;
}

Result<> Files::Impl::put(const Request& request) {
  TRY(check(request.path));
  if (broken_) return ended();
  Result<> sent =
      session_.send(wire::encode({wire::FrameType::kRequest, 0, files::encode_request(request)}));
  if (!sent) return translated(sent.error());
  return {};
}

Result<Answer> Files::Impl::answer(const Taker& taker) {
  // What does not come to its end leaves nothing that could go on.
  broken_ = true;
  for (;;) {
    Result<wire::Frame> frame = session_.receive();
    if (!frame) return translated(frame.error());
    if (frame->type == wire::FrameType::kData && taker) {
      Result<> taken = taker(TRY(wire::decode_data(*frame)).bytes);
      if (!taken) {
        session_ = Channel(Fd());  // its process waits for nobody
        return taken.error();
      }
      continue;
    }
    if (frame->type != wire::FrameType::kReply)
      return make_error(Code::kInternal, "protocol_error", "use files of box: not an answer");
    Answer answer = TRY(files::decode_answer(frame->payload));
    broken_ = false;
    if (answer.error) return std::move(*answer.error);
    return answer;
  }
}

Result<Answer> Files::Impl::ask(const Request& request, const Taker& taker) {
  const std::lock_guard lock(mutex_);
  TRY(put(request));
  return answer(taker);
}

Result<Answer> Files::Impl::send(const Request& request,
                                 const std::function<Result<>(const files::Sink&)>& give) {
  const std::lock_guard lock(mutex_);
  TRY(put(request));
  const Error stopped = make_error(Code::kCancelled, "cancelled", "an answer has come");
  const auto sink = [&](std::string_view bytes) -> Result<> {
    while (!bytes.empty()) {
      if (session_.readable()) return stopped;
      const std::string_view piece = bytes.substr(0, wire::kMaxData);
      Result<> sent = session_.send(wire::encode_data(0, 0, piece));
      if (!sent) return translated(sent.error());
      bytes.remove_prefix(piece.size());
    }
    return {};
  };
  const Result<> given = give(sink);
  if (!given && given.error() != stopped) {
    // Half of it must not be taken for all.
    broken_ = true;
    session_ = Channel(Fd());
    return given.error();
  }
  const Result<> end = session_.send(wire::encode_data(0, 0, ""));
  if (!end) return translated(end.error());
  return answer({});
}

Result<Answer> Files::Impl::receive(const Request& request,
                                    const std::function<Result<>(const files::Source&)>& use) {
  const std::lock_guard lock(mutex_);
  TRY(put(request));
  broken_ = true;
  std::optional<Answer> answered;
  std::string piece;
  std::size_t taken = 0;
  const files::Source source = [&](std::span<char> buffer) -> Result<std::size_t> {
    while (taken == piece.size() && !answered) {
      Result<wire::Frame> frame = session_.receive();
      if (!frame) return translated(frame.error());
      if (frame->type == wire::FrameType::kReply) {
        answered = TRY(files::decode_answer(frame->payload));
      } else {
        piece = TRY(wire::decode_data(*frame)).bytes;
        taken = 0;
      }
    }
    const std::size_t n = std::min(buffer.size(), piece.size() - taken);
    std::copy_n(piece.data() + taken, n, buffer.data());
    taken += n;
    return n;
  };
  const Result<> used = use(source);
  // Why the data ended early is what the answer says.
  if (answered && answered->error) {
    broken_ = false;
    return std::move(*answered->error);
  }
  if (!used) {
    session_ = Channel(Fd());
    return used.error();
  }
  std::array<char, 4096> rest;
  while (!answered && TRY(source(rest)) > 0) {
  }
  if (!answered) return ended();
  broken_ = false;
  if (answered->error) return std::move(*answered->error);
  return std::move(*answered);
}

Result<> Files::Impl::told(std::string_view way, std::string_view path,
                           const Result<Answer>& answer) const {
  engine::tell_files(
      *box_->runtime, box_->id, way, path,
      answer ? Result<std::uint64_t>(answer->copied.bytes) : Result<std::uint64_t>(answer.error()));
  if (!answer) return answer.error();
  return {};
}

Files::Files(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Files> Box::files() { return Files(TRY(Files::Impl::open(impl_, false))); }

Result<FileInfo> Files::stat(std::string_view path, bool follow) {
  Answer answer = TRY(impl_->ask({.op = Op::kStat, .path = std::string(path), .follow = follow}));
  if (!answer.info)
    return make_error(Code::kInternal, "protocol_error", "look at file: not an answer");
  return std::move(*answer.info);
}

Result<std::vector<FileInfo>> Files::list(std::string_view path) {
  constexpr std::size_t kMostListed = 1'000'000;
  constexpr std::size_t kMostBytes = 256u << 20;
  std::vector<FileInfo> all;
  std::size_t size = 0;
  TRY(impl_->ask(
      {.op = Op::kList, .path = std::string(path)}, [&](std::string_view bytes) -> Result<> {
        size += bytes.size();
        for (FileInfo& info : TRY(files::decode_infos(bytes))) all.push_back(std::move(info));
        if (all.size() <= kMostListed && size <= kMostBytes) return {};
        return make_error(Code::kResourceExhausted, "file_too_large",
                          format("list '{}': it has more than {} entries", path, kMostListed));
      }));
  std::ranges::sort(all, {}, &FileInfo::name);
  return all;
}

Result<std::string> Files::read(std::string_view path, std::uint64_t offset, std::uint64_t max) {
  std::string content;
  bool too_large = false;
  // One byte more tells that there is more.
  const Request request{.op = Op::kRead,
                        .path = std::string(path),
                        .offset = offset,
                        .length = max < INT64_MAX ? max + 1 : INT64_MAX};
  const Result<Answer> answer = impl_->ask(request, [&](std::string_view bytes) -> Result<> {
    too_large = too_large || bytes.size() > max - content.size();
    if (!too_large) content += bytes;
    return {};
  });
  TRY(impl_->told("out", path, answer));
  if (too_large)
    return make_error(Code::kResourceExhausted, "file_too_large",
                      format("read '{}': it has more than {} bytes", path, max));
  return content;
}

Result<std::uint64_t> Files::read_to(std::string_view path, int fd) {
  const Result<Answer> answer =
      impl_->ask({.op = Op::kRead, .path = std::string(path)},
                 [&](std::string_view bytes) { return write_all(fd, bytes, "file's content"); });
  TRY(impl_->told("out", path, answer));
  return answer->copied.bytes;
}

namespace {

Request write_request(std::string_view path, const WriteOptions& options) {
  Request request{.op = Op::kWrite, .path = std::string(path), .deep = options.parents};
  request.mode = options.mode;
  request.uid = options.uid;
  request.gid = options.gid;
  return request;
}

}  // namespace

Result<> Files::write(std::string_view path, std::string_view content,
                      const WriteOptions& options) {
  return impl_->told("in", path,
                     impl_->send(write_request(path, options),
                                 [&](const files::Sink& sink) { return sink(content); }));
}

Result<std::uint64_t> Files::write_from(std::string_view path, int fd,
                                        const WriteOptions& options) {
  const auto give = [fd](const files::Sink& sink) { return files::pass(fd, "input", sink); };
  const Result<Answer> answer = impl_->send(write_request(path, options), give);
  TRY(impl_->told("in", path, answer));
  return answer->copied.bytes;
}

Result<> Files::mkdir(std::string_view path, bool parents, std::uint32_t mode) {
  Request request{.op = Op::kMkdir, .path = std::string(path), .deep = parents};
  request.mode = mode;
  return impl_->told("made", path, impl_->ask(request));
}

Result<> Files::remove(std::string_view path, bool recursive) {
  return impl_->told("removed", path,
                     impl_->ask({.op = Op::kRemove, .path = std::string(path), .deep = recursive}));
}

class FileWatch::Impl final {
 public:
  explicit Impl(std::shared_ptr<Files::Impl> files) : files(std::move(files)) {}
  std::shared_ptr<Files::Impl> files;
};

FileWatch::FileWatch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileWatch::FileWatch(FileWatch&&) noexcept = default;
FileWatch& FileWatch::operator=(FileWatch&&) noexcept = default;
FileWatch::~FileWatch() = default;

int FileWatch::fd() const { return impl_->files->session().fd(); }

Result<FileWatch> Files::watch(std::string_view path, bool recursive) {
  TRY(check(path));
  const std::shared_ptr<Impl> session = TRY(Impl::open(impl_->box(), true));
  const Request request{.op = Op::kWatch, .path = std::string(path), .deep = recursive};
  Channel& channel = session->session();
  TRY(channel.send(wire::encode({wire::FrameType::kRequest, 0, files::encode_request(request)})));
  const Result<wire::Frame> first = channel.receive();
  if (!first) return translated(first.error());
  if (first->type == wire::FrameType::kReply) {
    Answer answer = TRY(files::decode_answer(first->payload));
    return answer.error.value_or(ended());
  }
  return FileWatch(std::make_unique<FileWatch::Impl>(session));
}

Result<std::optional<FileEvent>> FileWatch::next(Deadline deadline) {
  const Result<wire::Frame> frame = impl_->files->session().receive(deadline);
  if (!frame && frame.error().reason == "box_gone") return std::optional<FileEvent>();
  if (!frame) return frame.error();
  if (frame->type == wire::FrameType::kData)
    return std::optional(TRY(files::decode_event(TRY(wire::decode_data(*frame)).bytes)));
  Answer answer = TRY(files::decode_answer(frame->payload));
  return answer.error.value_or(ended());
}

}  // namespace caisson
