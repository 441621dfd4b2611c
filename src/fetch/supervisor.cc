#include "fetch/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "container/facts.h"
#include "container/prepare.h"
#include "fetch/child.h"
#include "fetch/login.h"
#include "fetch/placed.h"
#include "fetch/source.h"
#include "fetch/unpacker.h"
#include "image/fetch_protocol.h"
#include "sys/socket.h"
#include "sys/tree.h"

namespace caisson::fetch {
namespace {

using image::FetchMessage;
using image::LayerReady;
using image::UnpackRequest;

constexpr uid_t kNobody = 65534;
// More than any honest source asks for: Transfers has at most 16 downloads and one unpacker more at
// a time; an archive may hold many images.
constexpr std::size_t kMostAtOnce = 17, kMostInAll = 10'000;

/// One layer being unpacked.
struct Unpacking {
  UnpackRequest request;
  Child child;
  std::optional<LayerReady> ready;
  bool waits_for_parents = false;
};

class Supervisor final {
 public:
  explicit Supervisor(Fd control) : control_(std::move(control)) {}

  Result<> run();
  bool tell(const FetchMessage& message) const {
    return sys::send_with_fds(control_.get(), image::encode(message), {}) >= 0;
  }

 private:
  Result<image::FetchRequest> receive_request();
  Result<> enter_ids();
  Result<> prepare_directories(const std::string& id);
  Result<> pull(const image::PullRequest& request);
  Result<> verify(const image::VerifyRequest& request);

  Result<> loop();
  Result<bool> hear_source();
  Result<> hear_unpacker(Unpacking& unpacking);
  Result<> relay(const std::string& text);
  Result<> start(UnpackRequest request, std::vector<Fd> fds, bool compare);
  Result<> ended(std::list<Unpacking>::iterator at, std::optional<Error> error);
  void tell_problem(const image::VerifyLayer& layer, const Error& error) const;
  Result<bool> parents_ready(const UnpackRequest& request) const;
  Result<> release_waiting();

  Fd control_, fetch_, blobs_, layers_, input_, staging_;
  bool root_ = false, one_id_ = false;
  std::optional<Child> source_;
  std::list<Unpacking> unpacking_;
  std::set<std::string> done_;        ///< chain ids unpacked by us
  std::map<std::string, int> tries_;  ///< by chain id
  std::vector<image::VerifyLayer> to_verify_;
};

Result<image::FetchRequest> Supervisor::receive_request() {
  std::string buffer(image::kMaxMessage, '\0');
  sys::Received got = sys::receive_with_fds(control_.get(), buffer.data(), buffer.size());
  if (got.bytes <= 0)
    return make_error(Code::kUnavailable, "protocol_error", "start caisson-fetch: no request came");
  image::FetchRequest request =
      TRY(image::decode_fetch_request({buffer.data(), static_cast<std::size_t>(got.bytes)}));
  Fd* const places[] = {&fetch_, &blobs_, &layers_, &input_};
  if (got.fds.size() > std::size(places))
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "start caisson-fetch: too many descriptors came");
  for (std::size_t i = 0; i < got.fds.size(); ++i) *places[i] = std::move(got.fds[i]);
  return request;
}

/// An ordinary user's processes are root of a namespace with the ids that the user's boxes have.
Result<> Supervisor::enter_ids() {
  const container::Facts facts = TRY(container::gather_facts({}));
  root_ = facts.root;
  one_id_ = !root_ && (facts.subuids.empty() || facts.subgids.empty());
  // The files in /proc of an undumpable process are root's, and with them the maps to be written.
  ::prctl(PR_SET_DUMPABLE, 1);
  Result<> entered = container::enter_box_ids();
  ::prctl(PR_SET_DUMPABLE, 0);
  return entered;
}

Result<> Supervisor::prepare_directories(const std::string& id) {
  if (!fetch_ || !blobs_ || !layers_)
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "start caisson-fetch: descriptors are missing");
  if (::mkdirat(fetch_.get(), "partial", 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", "fetch/partial");
  const Fd partial = TRY(open_at(fetch_.get(), "partial", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (root_ && ::fchown(partial.get(), kNobody, kNobody) < 0)
    return sys_error("set owner of", "fetch/partial");
  staging_ = TRY(open_at(fetch_.get(), "staging/" + id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return {};
}

Result<> Supervisor::run() {
  const image::FetchRequest request = TRY(receive_request());
  TRY(enter_ids());
  if (const auto* pull_request = std::get_if<image::PullRequest>(&request)) {
    TRY(prepare_directories(pull_request->id));
    return pull(*pull_request);
  }
  if (const auto* verify_request = std::get_if<image::VerifyRequest>(&request)) {
    TRY(prepare_directories(verify_request->id));
    return verify(*verify_request);
  }
  if (const auto* login = std::get_if<image::LoginRequest>(&request)) {
    source_.emplace(TRY(Child::start(
        "source", [&](Fd socket) { return run_login(*login, std::move(socket), root_); })));
    return loop();
  }
  return make_error(Code::kInvalidArgument, "protocol_error",
                    "start caisson-fetch: this request is not the engine's to make");
}

Result<> Supervisor::pull(const image::PullRequest& request) {
  source_.emplace(TRY(Child::start("source", [&](Fd socket) {
    SourceDirectories directories{std::move(fetch_), std::move(blobs_), std::move(layers_),
                                  std::move(input_)};
    control_.reset();
    staging_.reset();
    return run_source(request, std::move(directories), std::move(socket), root_);
  })));
  return loop();
}

Result<> Supervisor::verify(const image::VerifyRequest& request) {
  to_verify_ = request.layers;
  std::ranges::reverse(to_verify_);  // taken from the back
  return loop();
}

/// Until the source and every unpacker have ended, or the engine has gone.
Result<> Supervisor::loop() {
  constexpr std::size_t kVerifiers = 2;
  while (source_ || !unpacking_.empty() || !to_verify_.empty()) {
    while (!to_verify_.empty() && unpacking_.size() < kVerifiers) {
      image::VerifyLayer layer = std::move(to_verify_.back());
      to_verify_.pop_back();
      Result<Fd> blob = open_at(blobs_.get(), layer.digest.substr(7), O_RDONLY | O_NOFOLLOW);
      if (!blob) {
        tell_problem(layer, blob.error());
        continue;
      }
      std::vector<Fd> fds;
      fds.push_back(std::move(*blob));
      TRY(start({std::move(layer), {}, true, 0, 0}, std::move(fds), true));
    }
    std::vector<pollfd> polled = {{control_.get(), POLLIN, 0},
                                  {source_ ? source_->socket() : -1, POLLIN, 0}};
    for (const Unpacking& one : unpacking_) polled.push_back({one.child.socket(), POLLIN, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return sys_error("wait for processes", "");
    }
    // The engine says nothing more: this is its end.
    if (polled[0].revents != 0)
      return make_error(Code::kCancelled, "cancelled",
                        "fetch image: whoever asked for it has gone");
    // Unpackers first: what they said is known when the source asks the next thing.
    std::size_t i = 2;
    for (auto it = unpacking_.begin(); i < polled.size(); ++i) {
      const auto next = std::next(it);
      if (polled[i].revents != 0) TRY(hear_unpacker(*it));
      it = next;
    }
    if (polled[1].revents != 0 && !TRY(hear_source())) {
      TRY(source_->finish());
      source_.reset();
    }
  }
  return {};
}

/// False when the source has nothing more to say.
Result<bool> Supervisor::hear_source() {
  std::vector<Fd> fds;
  const std::optional<std::string> text = TRY(source_->receive(fds));
  if (!text) return false;
  if (Result<image::FetchRequest> request = image::decode_fetch_request(*text)) {
    auto* const unpack = std::get_if<UnpackRequest>(&*request);
    if (unpack == nullptr)
      return make_error(Code::kInternal, "protocol_error", "the source asked for what it may not");
    TRY(place_layer(*unpack));
    TRY(start(std::move(*unpack), std::move(fds), false));
    return true;
  }
  TRY(relay(*text));
  return true;
}

/// Events, complete images and errors are all that the source may say to the engine.
Result<> Supervisor::relay(const std::string& text) {
  const FetchMessage message = TRY(image::decode_fetch_message(text));
  if (const auto* error = std::get_if<Error>(&message)) return *error;
  const bool known = std::holds_alternative<PullEvent>(message) ||
                     std::holds_alternative<image::ImageReady>(message);
  if (!known)
    return make_error(Code::kInternal, "protocol_error", "the source said what it may not");
  tell(message);
  // A tree that another pull has published is a parent that no unpacker of ours will tell of.
  const auto* event = std::get_if<PullEvent>(&message);
  if (event != nullptr && event->state == PullEvent::State::kCached) return release_waiting();
  return {};
}

Result<> Supervisor::start(UnpackRequest request, std::vector<Fd> fds, bool compare) {
  const image::VerifyLayer& layer = request.layer;
  // A second try is for a blob that was resumed from bytes that turned out to be wrong.
  if (unpacking_.size() >= kMostAtOnce || tries_.size() >= kMostInAll ||
      ++tries_[layer.chain_id] > 2 || fds.empty() || done_.contains(layer.chain_id))
    return make_error(Code::kInternal, "protocol_error", "the source asked for too much");
  UnpackJob job;
  job.digest = layer.digest;
  job.diff_id = layer.diff_id;
  job.chain_id = layer.chain_id;
  job.compression = TRY(spec::layer_compression(layer.media_type));
  job.size = layer.size;
  job.parents = layer.parents;
  job.unpack = request.unpack;
  job.compare = compare;
  job.nobody = root_;
  job.one_id = one_id_;
  job.layer = request.index;
  job.layers = request.count;
  job.blob = std::move(fds[0]);
  if (fds.size() > 1) job.feed = std::move(fds[1]);
  if (request.unpack) {
    const std::string name = layer.chain_id.substr(7);
    TRY(sys::remove_tree(staging_.get(), name));
    if (::mkdirat(staging_.get(), name.c_str(), 0755) < 0)
      return sys_error("create directory", "fetch/staging/" + name);
    job.own = TRY(open_at(staging_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::fchmod(job.own.get(), 0755) < 0) return sys_error("set mode of", name);
  }
  job.staging = TRY(duplicate(staging_.get()));
  job.layers_dir = TRY(duplicate(layers_.get()));
  Child child = TRY(Child::start("unpacker", [&job](Fd socket) -> int {
    job.control = std::move(socket);
    run_unpacker(std::move(job));
  }));
  unpacking_.push_back({std::move(request), std::move(child), {}});
  return {};
}

Result<> Supervisor::hear_unpacker(Unpacking& unpacking) {
  const auto at = std::ranges::find_if(unpacking_, [&](const auto& u) { return &u == &unpacking; });
  std::vector<Fd> fds;
  const std::optional<std::string> text = TRY(unpacking.child.receive(fds));
  if (!text) return ended(at, {});
  if (*text == kNeedParents) {
    unpacking.waits_for_parents = true;
    return release_waiting();
  }
  FetchMessage message = TRY(image::decode_fetch_message(*text));
  if (auto* event = std::get_if<PullEvent>(&message)) {
    tell(*event);
  } else if (auto* ready = std::get_if<LayerReady>(&message)) {
    unpacking.ready = std::move(*ready);
  } else if (auto* error = std::get_if<Error>(&message)) {
    return ended(at, std::move(*error));
  }
  return {};
}

/// Only now an unpacker is believed: it has ended well, and said what it was to say about this
/// layer.
Result<> Supervisor::ended(std::list<Unpacking>::iterator at, std::optional<Error> error) {
  const UnpackRequest request = std::move(at->request);
  const std::optional<LayerReady> ready = std::move(at->ready);
  Result<> status = error ? Result<>() : at->child.finish();
  unpacking_.erase(at);
  if (!error && !status) error = std::move(status).error();
  const image::VerifyLayer& layer = request.layer;
  const bool fits = ready && ready->chain_id == layer.chain_id && ready->digest == layer.digest &&
                    ready->diff_id == layer.diff_id && ready->size == layer.size &&
                    ready->unpacked == request.unpack;
  if (!error && !fits)
    error = make_error(Code::kInternal, "protocol_error", "an unpacker did not say what it did");
  if (!error) {
    if (request.unpack) done_.insert(layer.chain_id);
    tell(*ready);
    if (source_) TRY(source_->send(layer.chain_id + " " + image::encode(FetchMessage(*ready))));
    return release_waiting();
  }
  if (source_)  // it may have another way
    TRY(source_->send(layer.chain_id + " " + image::encode(FetchMessage(*error))));
  else
    tell_problem(layer, *error);
  return {};
}

/// Of a verify: the other layers are looked at too.
void Supervisor::tell_problem(const image::VerifyLayer& layer, const Error& error) const {
  tell(LayerReady{layer.digest, layer.diff_id, layer.chain_id, layer.size, 0, true, error.message});
}

Result<bool> Supervisor::parents_ready(const UnpackRequest& request) const {
  for (const std::string& parent : request.layer.parents) {
    if (done_.contains(parent)) continue;
    struct stat info{};
    if (::fstatat(layers_.get(), parent.substr(7).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
      continue;
    if (errno != ENOENT) return sys_error("look at layer", parent);
    return false;
  }
  return true;
}

Result<> Supervisor::release_waiting() {
  for (Unpacking& one : unpacking_) {
    if (!one.waits_for_parents || !TRY(parents_ready(one.request))) continue;
    one.waits_for_parents = false;
    TRY(one.child.send(kParentsReady));
  }
  return {};
}

}  // namespace

int run_supervisor(Fd control) {
  ::signal(SIGPIPE, SIG_IGN);
  // A source holds the files of all layers open; the usual soft limit of 1024 is for select(2).
  if (rlimit files{}; ::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 1 << 16);
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  auto supervisor = std::make_unique<Supervisor>(std::move(control));
  const Result<> done = supervisor->run();
  if (done) return supervisor->tell(image::FetchDone{}) ? 0 : 1;
  supervisor->tell(done.error());
  return 1;  // the destructors end and reap what still runs
}

}  // namespace caisson::fetch
