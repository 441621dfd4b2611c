#include "fetch/source.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "fetch/login.h"
#include "fetch/origin.h"
#include "fetch/registry/registry.h"
#include "fetch/resolve.h"
#include "fetch/seal.h"
#include "fetch/store.h"
#include "fetch/transfers.h"
#include "sys/socket.h"

namespace caisson::fetch {
namespace {

/// What the source says to its supervisor.
class Voice final {
 public:
  explicit Voice(Fd socket) : socket_(std::move(socket)) {}

  int socket() const { return socket_.get(); }
  Result<> say(std::string_view text, const std::vector<int>& fds = {}) const {
    const ssize_t n = sys::send_with_fds(socket_.get(), text, fds);
    if (n < 0) return errno_error(static_cast<int>(-n), "speak to supervisor", "");
    return {};
  }
  Result<> say(const image::FetchMessage& message) const { return say(image::encode(message)); }
  /// 0 for success; else the error is said.
  int status(const Result<>& result) const {
    if (result) return 0;
    [[maybe_unused]] const Result<> said = say(image::FetchMessage(result.error()));
    return 0;  // the supervisor knows; a status is for what nobody could say
  }
  std::function<void(std::string)> retries() const {
    return [this](std::string text) {
      PullEvent event;
      event.kind = PullEvent::Kind::kRetry;
      event.text = std::move(text);
      [[maybe_unused]] const Result<> said = say(image::FetchMessage(event));
    };
  }

 private:
  Fd socket_;
};

Result<> seal(const image::PullRequest& request, const BlobStore& store, const Fd& input,
              const Voice& voice, bool root) {
  SourceSeal seal;
  seal.nobody = root;
  seal.read_anywhere = root && request.kind == image::SourceKind::kOciDirectory;
  seal.network = request.kind == image::SourceKind::kRegistry;
  seal.read = {store.blobs()};  // of layers only whether they are there
  seal.read_write = {store.partial()};
  seal.keep = {store.blobs(), store.layers(), store.partial(), voice.socket()};
  if (input) {
    seal.read.push_back(input.get());
    seal.keep.push_back(input.get());
  }
  return seal_source(seal);
}

Result<> pull_image(Origin& origin, const BlobStore& store, Transfers& transfers,
                    WantedImage wanted, const image::PullRequest& request, const Voice& voice) {
  const ResolvedImage image = TRY(resolve_image(origin, store, std::move(wanted), request));
  PullEvent event;
  event.kind = PullEvent::Kind::kResolved;
  event.digest = image.ready.manifest_digest;
  event.layers = image.layers.size();
  TRY(voice.say(image::FetchMessage(event)));
  TRY(transfers.run(image));
  return voice.say(image::FetchMessage(image.ready));
}

Result<> pull(const image::PullRequest& request, SourceDirectories directories, const Voice& voice,
              bool root) {
  const BlobStore store(TRY(open_at(directories.fetch.get(), "partial", O_RDONLY | O_DIRECTORY)),
                        std::move(directories.blobs), std::move(directories.layers));
  const bool registry = request.kind == image::SourceKind::kRegistry;
  // What a registry's client reads of the host it reads before the door is shut.
  std::unique_ptr<Origin> origin;
  if (registry) origin = TRY(open_registry(request, voice.retries()));
  TRY(seal(request, store, directories.input, voice, root));
  if (!registry) origin = TRY(open_local(request, std::move(directories.input)));

  const Transfers::Supervision supervision{
      voice.socket(),
      [&](const image::UnpackRequest& unpack, const std::vector<int>& fds) {
        return voice.say(image::encode(image::FetchRequest(unpack)), fds);
      },
      [&](const PullEvent& event) {
        [[maybe_unused]] const Result<> said = voice.say(image::FetchMessage(event));
      }};
  Transfers transfers(*origin, store, supervision, request.parallel);
  for (WantedImage& wanted : TRY(origin->wanted()))
    TRY(pull_image(*origin, store, transfers, std::move(wanted), request, voice));
  return {};
}

/// Every error says of which image it is, or of which blob of a directory or an archive.
Result<> named(Result<> result, const image::PullRequest& request) {
  if (result) return result;
  Error error = std::move(result).error();
  const bool local = request.kind != image::SourceKind::kRegistry;
  const auto says = [&](const std::string& name) { return error.message.contains(name); };
  if (says(request.reference) || (local && says("sha256:"))) return error;
  return with_context(std::move(error), format("pull '{}'", request.reference));
}

Result<> login(const image::LoginRequest& request, const Voice& voice, bool root) {
  const std::unique_ptr<Registry> registry = TRY(Registry::open(
      {request.endpoint}, {request.http_proxy, request.https_proxy, request.no_proxy},
      request.endpoint.host, {voice.retries()}));
  SourceSeal seal;
  seal.nobody = root;
  seal.keep = {voice.socket()};
  TRY(seal_source(seal));
  return registry->check();
}

}  // namespace

int run_source(const image::PullRequest& request, SourceDirectories directories, Fd supervisor,
               bool root) {
  const Voice voice(std::move(supervisor));
  Result<> result = pull(request, std::move(directories), voice, root);
  return voice.status(named(std::move(result), request));
}

int run_login(const image::LoginRequest& request, Fd supervisor, bool root) {
  const Voice voice(std::move(supervisor));
  return voice.status(login(request, voice, root));
}

}  // namespace caisson::fetch
