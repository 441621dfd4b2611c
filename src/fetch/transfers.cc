#include "fetch/transfers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "sys/socket.h"

namespace caisson::fetch {
namespace {

constexpr std::uint64_t kFeedStep = 256 << 10;  // 64 KiB of pipe hold the totals of 2 GiB ahead
constexpr std::int64_t kTellEvery = 100'000'000;
constexpr int kLockPollMs = 50;

/// Faults of the bytes themselves: other bytes may be better.
bool blames_blob(const Error& error) {
  return error.reason == "layer_digest_mismatch" || error.reason == "layer_size_mismatch" ||
         error.reason == "layer_invalid" || error.reason == "layer_diff_id_mismatch";
}

}  // namespace

Transfers::Transfers(Origin& origin, const BlobStore& store, Supervision supervision,
                     unsigned parallel)
    : origin_(origin),
      store_(store),
      supervision_(std::move(supervision)),
      parallel_(std::clamp(parallel, 1u, 16u)) {}

Result<> Transfers::run(const ResolvedImage& image) {
  transfers_.clear();
  for (const ResolvedLayer& layer : image.layers) {
    Transfer& transfer = transfers_.emplace_back();
    transfer.index = transfers_.size() - 1;
    transfer.layer = &layer;
    if (unpacked_.contains(layer.chain_id)) transfer.step = Step::kDone;
  }
  const auto is = [](Step step) { return [step](const Transfer& t) { return t.step == step; }; };
  while (!std::ranges::all_of(transfers_, is(Step::kDone))) {
    // In order: a layer that waits for those below it then never keeps them from starting.
    for (Transfer& transfer : transfers_) {
      if (transfer.step != Step::kWaiting && transfer.step != Step::kLocked) continue;
      const auto downloads =
          std::ranges::count_if(transfers_, [](const auto& t) { return t.downloading; });
      const auto unpackers = std::ranges::count_if(transfers_, [](const auto& t) {
        return t.step >= Step::kDownloading && t.step < Step::kDone;
      });
      if (downloads >= parallel_ || unpackers >= parallel_ + 1 || busy_with(transfer)) break;
      TRY(start(transfer));
      // Whoever waits holds locks of layers below only, which need nothing of those above: however
      // pulls share layers, one of them always goes on.
      if (transfer.step == Step::kLocked) break;
    }
    if (std::ranges::all_of(transfers_, is(Step::kDone))) break;  // all of it was here
    const bool locked = std::ranges::any_of(transfers_, is(Step::kLocked));
    TRY(origin_.step(locked ? kLockPollMs : 1000, {&supervision_.socket, 1}));
    TRY(hear());
    if (fault_) return *fault_;
  }
  for (const ResolvedLayer& layer : image.layers) unpacked_.insert(layer.chain_id);
  return {};
}

/// Whether a layer below has the same blob and is not done with it: it then is brought once.
bool Transfers::busy_with(const Transfer& transfer) const {
  return std::ranges::any_of(transfers_, [&](const Transfer& other) {
    return other.index < transfer.index && other.step != Step::kDone &&
           other.layer->blob.digest == transfer.layer->blob.digest;
  });
}

Result<> Transfers::start(Transfer& transfer) {
  const ResolvedLayer& layer = *transfer.layer;
  transfer.unpack = !TRY(store_.has_tree(layer.chain_id));
  std::optional<Fd> published;
  if (!transfer.distrust_published) published = TRY(store_.published(layer.blob.digest));
  if (published && !transfer.unpack) {
    transfer.step = Step::kDone;
    tell(transfer, PullEvent::State::kCached, layer.blob.size);
    return {};
  }
  if (!published) return start_partial(transfer);
  transfer.step = Step::kUnpacking;
  return ask_unpacker(transfer, *published, {});
}

Result<> Transfers::start_partial(Transfer& transfer) {
  const ResolvedLayer& layer = *transfer.layer;
  if (!transfer.file) {
    std::optional<Fd> file = TRY(store_.lock_partial(layer.blob.digest));
    if (!file) {
      if (transfer.step == Step::kWaiting) tell(transfer, PullEvent::State::kWaiting, 0);
      transfer.step = Step::kLocked;
      return {};
    }
    transfer.file = std::move(*file);
    // Whoever had it may have published it meanwhile.
    if (!transfer.distrust_published && TRY(store_.published(layer.blob.digest))) {
      transfer.file.reset();
      return start(transfer);
    }
  }
  struct stat info{};
  if (::fstat(transfer.file.get(), &info) < 0) return sys_error("look at blob", layer.blob.digest);
  const std::uint64_t have = static_cast<std::uint64_t>(info.st_size);
  if (have > layer.blob.size) {
    renew(transfer);
    return {};
  }
  transfer.resumed = have > 0;
  transfer.fed = have;
  return download(transfer, have);
}

/// The file is never shortened: another pull may have verified it and be publishing it now.
void Transfers::renew(Transfer& transfer) {
  if (transfer.file) store_.drop_partial(transfer.layer->blob.digest);
  transfer.file.reset();
  transfer.step = Step::kWaiting;
}

Result<> Transfers::download(Transfer& transfer, std::uint64_t offset) {
  const spec::Descriptor& blob = transfer.layer->blob;
  Result<Fd> reader_or = store_.read_partial(blob.digest);
  if (!reader_or && reader_or.error().sys_errno == ENOENT) {  // published this moment
    transfer.file.reset();
    transfer.step = Step::kLocked;
    return {};
  }
  const Fd reader = TRY(std::move(reader_or));
  if (offset == blob.size) {
    transfer.step = Step::kUnpacking;
    return ask_unpacker(transfer, reader, {});
  }
  Pipe pipe = TRY(make_pipe());
  TRY(ask_unpacker(transfer, reader, pipe.read));
  TRY(set_nonblocking(pipe.write.get()));
  transfer.feed = std::move(pipe.write);
  transfer.step = Step::kDownloading;
  transfer.downloading = true;
  feed(transfer, offset);
  origin_.download(
      blob, transfer.file.get(), offset,
      [this, &transfer](std::uint64_t have) {
        if (have - transfer.fed >= kFeedStep || have == transfer.layer->blob.size)
          feed(transfer, have);
        tell(transfer, PullEvent::State::kDownloading, have);
      },
      [this, &transfer](Result<> result) { downloaded(transfer, std::move(result)); });
  return {};
}

void Transfers::feed(Transfer& transfer, std::uint64_t have) {
  transfer.fed = have;
  if (!transfer.feed) return;
  // An unpacker that has ended reads no more; its error is on its way. (SIGPIPE is ignored.)
  [[maybe_unused]] const ssize_t n = ::write(transfer.feed.get(), &have, sizeof have);
}

void Transfers::downloaded(Transfer& transfer, Result<> result) {
  transfer.downloading = false;
  if (!result) {
    if (!fault_) fault_ = std::move(result).error();
    return;
  }
  feed(transfer, transfer.layer->blob.size);
  transfer.feed.reset();
  if (transfer.step == Step::kDownloading) transfer.step = Step::kUnpacking;
  if (transfer.step == Step::kDone) transfer.file.reset();
  if (!transfer.failed) return;
  const Error error = *std::exchange(transfer.failed, std::nullopt);
  if (Result<> again = try_again(transfer, error); !again && !fault_) fault_ = again.error();
}

Result<> Transfers::ask_unpacker(Transfer& transfer, const Fd& blob, const Fd& feed) {
  const ResolvedLayer& layer = *transfer.layer;
  image::UnpackRequest request;
  request.layer = {layer.blob.digest,     layer.diff_id,   layer.chain_id,
                   layer.blob.media_type, layer.blob.size, {}};
  for (std::size_t i = 0; i < transfer.index; ++i)
    request.below.push_back(transfers_[i].layer->diff_id);
  request.unpack = transfer.unpack;
  request.index = transfer.index;
  request.count = transfers_.size();
  std::vector<int> fds = {blob.get()};
  if (feed) fds.push_back(feed.get());
  tell(transfer, PullEvent::State::kDownloading, transfer.fed);
  return supervision_.unpack(request, fds);
}

/// The supervisor's answers: a chain id, a blank, and what became of that layer.
Result<> Transfers::hear() {
  for (;;) {
    std::string buffer(image::kMaxMessage, '\0');
    const ssize_t n = ::recv(supervision_.socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n <= 0)
      return make_error(Code::kCancelled, "cancelled", "fetch image: the supervisor has gone");
    buffer.resize(static_cast<std::size_t>(n));
    const auto blank = buffer.find(' ');
    if (blank == std::string::npos) continue;
    const image::FetchMessage message =
        TRY(image::decode_fetch_message(std::string_view(buffer).substr(blank + 1)));
    for (Transfer& transfer : transfers_)
      if (buffer.starts_with(transfer.layer->chain_id)) TRY(heard(transfer, message));
  }
}

Result<> Transfers::heard(Transfer& transfer, const image::FetchMessage& message) {
  if (const auto* error = std::get_if<Error>(&message)) {
    if (transfer.downloading && transfer.resumed && blames_blob(*error)) {
      transfer.failed = *error;  // the rest is still worth having
      return {};
    }
    return try_again(transfer, *error);
  }
  if (!std::holds_alternative<image::LayerReady>(message)) return {};
  transfer.step = Step::kDone;
  if (!transfer.downloading) transfer.file.reset();  // others may have it now
  tell(transfer, PullEvent::State::kDone, transfer.layer->blob.size);
  return {};
}

/// Once, when the bytes to blame came from an earlier pull or from the home.
Result<> Transfers::try_again(Transfer& transfer, const Error& error) {
  const std::string& digest = transfer.layer->blob.digest;
  const bool published = !transfer.file && !transfer.distrust_published;
  if (!blames_blob(error) || !(transfer.resumed || published)) {
    if (blames_blob(error) && transfer.file) store_.drop_partial(digest);
    return error;
  }
  transfer.distrust_published |= published;
  transfer.feed.reset();
  renew(transfer);
  return start(transfer);
}

void Transfers::tell(Transfer& transfer, PullEvent::State state, std::uint64_t current) {
  const std::int64_t now = boot_ns();
  const bool step = state != PullEvent::State::kDownloading;
  if (!step && now - transfer.told_ns < kTellEvery) return;
  transfer.told_ns = now;
  PullEvent event;
  event.kind = PullEvent::Kind::kLayer;
  event.state = state;
  event.layer = transfer.index;
  event.layers = transfers_.size();
  event.digest = transfer.layer->blob.digest;
  event.current = current;
  event.total = transfer.layer->blob.size;
  supervision_.tell(event);
}

}  // namespace caisson::fetch
