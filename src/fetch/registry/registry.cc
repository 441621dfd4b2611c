#include "fetch/registry/registry.h"

#include <curl/curl.h>
#include <poll.h>

#include <algorithm>
#include <list>

#include "base/clock.h"
#include "base/fd.h"
#include "fetch/registry/exchange.h"

namespace caisson::fetch {
namespace {

constexpr const char* kSystemCertificates = "/etc/ssl/certs/ca-certificates.crt";
constexpr const char* kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json";

struct FreeMulti {
  void operator()(CURLM* multi) const { ::curl_multi_cleanup(multi); }
};

struct Running {
  std::unique_ptr<Exchange> exchange;
  std::int64_t wait_until_ns = 0;  ///< not in the multi handle before
};

}  // namespace

class Registry::Impl final {
 public:
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  std::string reference;
  Hooks hooks;
  std::unique_ptr<CURLM, FreeMulti> multi;
  std::list<Running> running;
  std::size_t preferred = 0;  ///< the endpoint that answered last

  ~Impl() {
    for (Running& one : running) ::curl_multi_remove_handle(multi.get(), one.exchange->handle());
  }

  Exchange& add(Request request);
  void begin(std::list<Running>::iterator at);
  void finish(std::list<Running>::iterator at, Result<> result);
  void ended(CURL* easy, CURLcode code);
  Result<> step(int timeout_ms, std::span<const int> others);
  Result<Document> fetch(std::string path, std::string accept, std::string object, bool manifest,
                         std::size_t most);
};

/// From the preferred endpoint on: what one mirror does not have the next one may.
Exchange& Registry::Impl::add(Request request) {
  std::vector<Endpoint*> order;
  for (std::size_t i = preferred; i < endpoints.size(); ++i) order.push_back(endpoints[i].get());
  running.push_back({std::make_unique<Exchange>(std::move(request), order, reference)});
  return *running.back().exchange;
}

void Registry::Impl::begin(std::list<Running>::iterator at) {
  at->wait_until_ns = 0;
  // Not before the seal, which closes what it does not know: a multi handle has sockets of its own.
  if (!multi) multi.reset(::curl_multi_init());
  if (!multi)
    return finish(
        at, make_error(Code::kResourceExhausted, "out_of_memory", "start a transfer: no memory"));
  if (Result<> begun = at->exchange->begin(); !begun) return finish(at, std::move(begun));
  ::curl_multi_add_handle(multi.get(), at->exchange->handle());
}

void Registry::Impl::finish(std::list<Running>::iterator at, Result<> result) {
  const std::unique_ptr<Exchange> exchange = std::move(at->exchange);
  running.erase(at);
  exchange->request().done(std::move(result));
}

void Registry::Impl::ended(CURL* easy, CURLcode code) {
  const auto at = std::ranges::find_if(
      running, [&](const Running& one) { return one.exchange->handle() == easy; });
  ::curl_multi_remove_handle(multi.get(), easy);
  if (at == running.end()) return;
  Exchange::Outcome outcome = at->exchange->ended(code);
  switch (outcome.next) {
    case Exchange::Next::kAgain:
      return begin(at);
    case Exchange::Next::kWait:
      at->wait_until_ns = boot_ns() + outcome.wait_ms * 1'000'000;
      hooks.retry(format("{}; once more in {:.1f} s", outcome.why,
                         static_cast<double>(outcome.wait_ms) / 1000));
      return;
    case Exchange::Next::kDone:
      return finish(at, std::move(outcome.result));
  }
}

Result<> Registry::Impl::step(int timeout_ms, std::span<const int> others) {
  std::int64_t timeout = timeout_ms;
  for (auto at = running.begin(); at != running.end();) {
    const auto next = std::next(at);
    if (at->wait_until_ns > 0) {
      const std::int64_t left = (at->wait_until_ns - boot_ns()) / 1'000'000;
      if (left <= 0)
        begin(at);
      else
        timeout = std::min(timeout, left);
    }
    at = next;
  }
  int active = 0;
  if (const CURLMcode code = ::curl_multi_perform(multi.get(), &active); code != CURLM_OK)
    return make_error(Code::kInternal, "registry_error",
                      format("transfer: {}", ::curl_multi_strerror(code)));
  bool any = false;
  int left = 0;
  while (const CURLMsg* message = ::curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    any = true;
    ended(message->easy_handle, message->data.result);
  }
  if (any) return {};
  std::vector<curl_waitfd> fds;
  for (int fd : others) fds.push_back({fd, CURL_WAIT_POLLIN, 0});
  ::curl_multi_poll(multi.get(), fds.data(), static_cast<unsigned>(fds.size()),
                    static_cast<int>(timeout), nullptr);
  return {};
}

Result<Registry::Document> Registry::Impl::fetch(std::string path, std::string accept,
                                                 std::string object, bool manifest,
                                                 std::size_t most) {
  std::optional<Result<>> result;
  Document document;
  Request request;
  request.path = std::move(path);
  request.accept = std::move(accept);
  request.object = std::move(object);
  request.manifest = manifest;
  request.sink.most = most;
  // The exchange is in `running` until this has been called.
  Exchange* exchange = nullptr;
  request.done = [&](Result<> done) {
    if (done) {
      document = {exchange->take_text(), exchange->response().content_type};
      preferred += exchange->endpoint();
    }
    result = std::move(done);
  };
  exchange = &add(std::move(request));
  begin(std::prev(running.end()));
  while (!result) TRY(step(1000, {}));
  TRY(std::move(*result));
  return document;
}

Registry::Registry(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Registry::~Registry() = default;

Result<std::unique_ptr<Registry>> Registry::open(std::vector<image::Endpoint> endpoints,
                                                 const HttpSettings& settings,
                                                 std::string reference, Hooks hooks) {
  if (::curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return make_error(Code::kInternal, "registry_error", "start libcurl: it does not");
  auto impl = std::make_unique<Impl>();
  impl->reference = std::move(reference);
  impl->hooks = std::move(hooks);
  if (endpoints.empty())
    return make_error(Code::kInternal, "registry_error", "ask a registry: there is none to ask");
  for (image::Endpoint& about : endpoints) {
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->settings = settings;
    endpoint->base = (about.plain_http ? "http://" : "https://") + about.host;
    if (!about.ca.empty())
      endpoint->certificates = read_file(kSystemCertificates).value_or("") + "\n" + about.ca;
    endpoint->about = std::move(about);
    impl->endpoints.push_back(std::move(endpoint));
  }
  return std::unique_ptr<Registry>(new Registry(std::move(impl)));
}

Result<Registry::Document> Registry::manifest(const std::string& what) {
  return impl_->fetch("manifests/" + what, kManifestTypes, format("manifest '{}'", what), true,
                      image::kMaxDocument);
}

Result<std::string> Registry::blob(const spec::Descriptor& descriptor) {
  return TRY(impl_->fetch("blobs/" + descriptor.digest, "",
                          format("configuration '{}'", descriptor.digest), false,
                          image::kMaxDocument))
      .text;
}

void Registry::download(const spec::Descriptor& descriptor, int fd, std::uint64_t offset,
                        std::function<void(std::uint64_t)> progress,
                        std::function<void(Result<>)> done) {
  Request request;
  request.path = "blobs/" + descriptor.digest;
  request.object = format("layer '{}'", descriptor.digest);
  request.sink.fd = fd;
  request.sink.offset = offset;
  request.sink.size = descriptor.size;
  request.sink.progress = std::move(progress);
  request.done = std::move(done);
  impl_->add(std::move(request));
  impl_->begin(std::prev(impl_->running.end()));
}

Result<> Registry::step(int timeout_ms, std::span<const int> others) {
  return impl_->step(timeout_ms, others);
}

Result<> Registry::check() {
  TRY(impl_->fetch("", "", "answer", false, image::kMaxDocument));
  return {};
}

}  // namespace caisson::fetch
