#include "fetch/registry/exchange.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "fetch/registry/http_text.h"
#include "fetch/registry/url.h"

namespace caisson::fetch {
namespace {

constexpr int kMostTries = 5;
constexpr int kMostTriesToConnect = 3;
constexpr int kMostRedirects = 10;
constexpr std::int64_t kLongestWaitS = 60;
constexpr std::size_t kErrorBody = 4096;
constexpr long kDocumentTimeS = 120;  // of a manifest or a configuration, 4 MiB at most

bool is_connecting(CURLcode code) {
  return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
         code == CURLE_COULDNT_RESOLVE_PROXY;
}
bool passes(long status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

}  // namespace

Exchange::Exchange(Request request, std::span<Endpoint* const> endpoints, std::string reference)
    : request_(std::move(request)),
      endpoints_(endpoints.begin(), endpoints.end()),
      reference_(std::move(reference)),
      easy_(::curl_easy_init()),
      begun_at_(request_.sink.offset) {}

Error Exchange::error(Code code, std::string_view reason, const std::string& cause,
                      std::string hint) const {
  return make_error(code, reason,
                    format("pull '{}': {} from registry '{}': {}", reference_, request_.object,
                           about().host, cause),
                    std::move(hint));
}

Result<> Exchange::begin() {
  if (!easy_)
    return make_error(Code::kResourceExhausted, "out_of_memory", "start a transfer: no memory");
  Endpoint& endpoint = *endpoints_[endpoint_];
  if (url_.empty()) {
    const std::string& repository = endpoint.about.repository;
    url_ = endpoint.base + "/v2/" + repository + (repository.empty() ? "" : "/") + request_.path;
  }
  response_ = {};
  text_.clear();
  error_body_.clear();
  body_begun_ = false;
  skip_ = 0;
  fault_.reset();
  CURL* const easy = easy_.get();
  ::curl_easy_reset(easy);
  set_common(easy, endpoint.about, endpoint.settings, endpoint.certificates, url_);
  if (request_.sink.fd < 0) ::curl_easy_setopt(easy, CURLOPT_TIMEOUT, kDocumentTimeS);
  headers_.reset();
  if (!request_.accept.empty()) add_header(headers_, "Accept: " + request_.accept);
  // To the endpoint's own origin and to no other.
  if (!endpoint.authorization.empty() && TRY(origin_of(url_)) == TRY(origin_of(endpoint.base)))
    add_header(headers_, "Authorization: " + endpoint.authorization);
  ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
  if (request_.sink.offset > 0 && !without_range_)
    ::curl_easy_setopt(easy, CURLOPT_RANGE, format("{}-", request_.sink.offset).c_str());
  ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  return {};
}

std::size_t Exchange::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<Exchange*>(self)->take_header({data, size * count}) ? size * count : 0;
}
std::size_t Exchange::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<Exchange*>(self)->take_body({data, size * count}) ? size * count : 0;
}

/// False ends the transfer; `fault_` says why.
bool Exchange::take_header(std::string_view line) {
  if (response_.take(line)) return true;
  fault_ = error(Code::kFailedPrecondition, "registry_error", "its headers do not end");
  fault_passing_ = false;
  return false;
}

/// The same.
bool Exchange::take_body(std::string_view data) {
  long status = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206) {
    error_body_.append(data.substr(0, kErrorBody - std::min(kErrorBody, error_body_.size())));
    return error_body_.size() < kErrorBody;  // an error has no need of more, nor an end
  }
  if (request_.sink.fd >= 0) {
    if (!std::exchange(body_begun_, true)) {
      const auto range = parse_content_range(response_.content_range);
      const Sink& sink = request_.sink;
      if (status == 206 && (!range || range->first != sink.offset || range->total != sink.size)) {
        without_range_ = true;  // then all of it, and what is there is passed over
        fault_ =
            error(Code::kUnavailable, "registry_error", "it sent another part than was asked for");
        fault_passing_ = true;
        return false;
      }
      if (status == 200) skip_ = sink.offset;
      if (std::optional<Error> fault = size_fault(); fault && status == 200) {
        fault_ = std::move(fault);
        fault_passing_ = false;
        return false;
      }
    }
    return write_file(data);
  }
  if (text_.size() + data.size() > request_.sink.most) {
    fault_ = error(Code::kResourceExhausted, "manifest_too_large",
                   format("it has more than {} bytes", request_.sink.most));
    fault_passing_ = false;
    return false;
  }
  text_.append(data);
  return true;
}

std::optional<Error> Exchange::size_fault() const {
  const auto length = parse_length(response_.content_length);
  if (!length || *length == request_.sink.size) return std::nullopt;
  return error(Code::kDataLoss, "layer_size_mismatch",
               format("it has {} bytes, the manifest says {}", *length, request_.sink.size));
}

bool Exchange::write_file(std::string_view data) {
  Sink& sink = request_.sink;
  const std::size_t skipped = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, data.size()));
  skip_ -= skipped;
  data.remove_prefix(skipped);
  if (data.size() > sink.size - sink.offset) {
    fault_ = error(Code::kDataLoss, "layer_size_mismatch",
                   format("it has more than the {} bytes that the manifest says", sink.size));
    fault_passing_ = false;
    return false;
  }
  while (!data.empty()) {
    const ssize_t n = ::pwrite(sink.fd, data.data(), data.size(), static_cast<off_t>(sink.offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fault_ = sys_error("keep", request_.object);
      fault_passing_ = false;
      return false;
    }
    sink.offset += static_cast<std::uint64_t>(n);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  sink.progress(sink.offset);
  return true;
}

Exchange::Outcome Exchange::ended(CURLcode code) {
  if (fault_) return failed(*fault_, fault_passing_, {});
  if (code == CURLE_WRITE_ERROR && error_body_.size() == kErrorBody) code = CURLE_OK;
  long status = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) {
    if (is_tls(code)) {
      Error refused = error(Code::kUnavailable, "registry_tls", ::curl_easy_strerror(code),
                            "docs/registries.md tells how to trust a CA");
      if (code == CURLE_PEER_FAILED_VERIFICATION && !first_tls_error_) first_tls_error_ = refused;
      return failed(std::move(refused), false, {});
    }
    if (is_connecting(code) && tries_ >= kMostTriesToConnect) tries_ = kMostTries;
    return failed(error(Code::kUnavailable, "registry_unreachable", ::curl_easy_strerror(code)),
                  true, {});
  }
  if (status >= 300 && status < 400 && status != 304) return redirected();
  if (status == 401) return unauthorized();
  if (status == 200 || status == 206) return finished();
  if (status == 416 && !without_range_) {
    without_range_ = true;
    return failed(error(Code::kUnavailable, "registry_error", "it knows no such part"), true, 0);
  }
  const std::optional<std::int64_t> asked =
      parse_retry_after(response_.retry_after, ::time(nullptr));
  return failed(status_error(), passes(status), asked);
}

Error Exchange::status_error() const {
  long status = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  std::string cause = format("it answered {}", status);
  const std::string said = error_message(error_body_);
  // Errors are shown and logged: a server that repeats what we sent does not get it there.
  const std::string& secret = endpoints_[endpoint_]->authorization;
  const bool repeats = !secret.empty() && said.contains(secret.substr(secret.find(' ') + 1));
  if (!said.empty() && !repeats) cause += ": " + said;
  if (status == 404 && request_.manifest)
    return error(Code::kNotFound, "image_not_found_remote", cause,
                 "check its name and tag; a private image may need caisson login");
  if (status == 401)
    return error(Code::kUnauthenticated, "registry_unauthorized", cause,
                 format("caisson login {}", about().host));
  if (status == 403)
    return error(Code::kPermissionDenied, "registry_denied", cause,
                 format("caisson login {} as a user who may pull it", about().host));
  if (status == 429)
    return error(Code::kResourceExhausted, "registry_rate_limited", cause,
                 response_.retry_after.empty()
                     ? "try again later, or log in"
                     : format("it asks to wait for {} s", shown(response_.retry_after)));
  return error(status >= 500 ? Code::kUnavailable : Code::kFailedPrecondition, "registry_error",
               cause);
}

Exchange::Outcome Exchange::redirected() {
  if (++redirects_ > kMostRedirects)
    return failed(error(Code::kFailedPrecondition, "registry_redirects", "it leads on and on"),
                  false, {});
  const Result<std::string> next = resolve_url(url_, response_.location);
  const Result<UrlOrigin> there = next ? origin_of(*next) : Result<UrlOrigin>(next.error());
  if (!there)
    return failed(error(Code::kFailedPrecondition, "registry_error",
                        format("it leads to '{}'", shown(response_.location))),
                  false, {});
  if (url_.starts_with("https:") && there->scheme != "https")
    return failed(error(Code::kFailedPrecondition, "registry_downgrade",
                        format("it leads from https to '{}'", shown(*next))),
                  false, {});
  url_ = *next;
  return {Next::kAgain, 0, {}, {}};
}

Exchange::Outcome Exchange::unauthorized() {
  Endpoint& endpoint = *endpoints_[endpoint_];
  const Result<UrlOrigin> here = origin_of(url_), home = origin_of(endpoint.base);
  // A server that we were sent on to gets nothing; a second refusal is final.
  if (!here || !home || *here != *home || std::exchange(authorized_again_, true))
    return failed(status_error(), false, {});
  if (Result<> done = authorize(endpoint, response_.challenges); !done) {
    Error refused = done.error();
    refused.message = format("pull '{}': {}", reference_, refused.message);
    const bool passing =
        refused.reason != "registry_tls" &&
        (refused.code == Code::kUnavailable || refused.code == Code::kResourceExhausted);
    return failed(std::move(refused), passing, {});
  }
  return {Next::kAgain, 0, {}, {}};
}

/// Plain HTTP is for hosts that do not speak HTTPS: whatever one that does has answered counts.
std::size_t Exchange::next_endpoint() const {
  long status = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  std::size_t next = endpoint_ + 1;
  if (next < endpoints_.size() && status != 0 && !about().plain_http) {
    const image::Endpoint& there = endpoints_[next]->about;
    if (there.plain_http && there.host == about().host) ++next;
  }
  return next;
}

/// Once more, or the next endpoint, or the end.
Exchange::Outcome Exchange::failed(Error error, bool passing, std::optional<std::int64_t> asked_s) {
  const std::size_t next = next_endpoint();
  // Of a blob of another size the next endpoint could only continue the beginning.
  const bool ours = error.reason == "disk_full" ||
                    (error.reason == "layer_size_mismatch" && request_.sink.offset != begun_at_);
  if (next < endpoints_.size() && !ours) {
    // What a certificate made fail is of interest as long as it is the same host's.
    if (endpoints_[next]->about.host != about().host) first_tls_error_.reset();
    endpoint_ = next;
    begun_at_ = request_.sink.offset;
    url_.clear();
    redirects_ = 0;
    tries_ = 1;
    authorized_again_ = false;
    return {Next::kAgain, 0, {}, {}};
  }
  const bool too_long = asked_s && *asked_s > kLongestWaitS;
  if (!passing || too_long || tries_ >= kMostTries) {
    // A certificate that was refused says more than what plain http made of it.
    if (first_tls_error_) error = *first_tls_error_;
    return {Next::kDone, 0, {}, error};
  }
  ++tries_;
  std::uint32_t random = 0;
  [[maybe_unused]] const ssize_t n = ::getrandom(&random, sizeof random, GRND_NONBLOCK);
  const std::int64_t wait = asked_s ? *asked_s * 1000 : back_off_ms(tries_, random);
  url_.clear();  // signed URLs of storage servers run out
  redirects_ = 0;
  authorized_again_ = false;
  return {Next::kWait, wait, error.message, {}};
}

Exchange::Outcome Exchange::finished() {
  const Sink& sink = request_.sink;
  // Without a length the end of the connection looks like the end of the blob: more may follow.
  if (sink.fd >= 0 && sink.offset != sink.size)
    return failed(error(Code::kDataLoss, "layer_size_mismatch",
                        format("it has {} bytes, the manifest says {}", sink.offset, sink.size)),
                  true, {});
  return {Next::kDone, 0, {}, {}};
}

}  // namespace caisson::fetch
