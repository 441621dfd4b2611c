// Exchange: one request of a registry, with its redirects, its authorization and its repetitions.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fetch/registry/authorization.h"
#include "fetch/registry/http.h"

namespace caisson::fetch {

/// Where the bytes go: into `text`, at most `most`; or into a file of known size.
struct Sink {
  std::size_t most = 0;
  int fd = -1;
  std::uint64_t offset = 0, size = 0;
  std::function<void(std::uint64_t)> progress;
};

struct Request {
  std::string path;    ///< after "/v2/" and the repository, which each endpoint names itself
  std::string accept;  ///< media types
  std::string object;  ///< for messages: "manifest '3.20'", "layer 'sha256:…'"
  bool manifest = false;
  Sink sink;
  std::function<void(Result<>)> done;
};

/// Lives from the start to `done`. The owner adds `handle()` to a multi handle, and after the
/// transfer calls `ended`.
class Exchange final {
 public:
  Exchange(Request request, std::span<Endpoint* const> endpoints, std::string reference);

  CURL* handle() const { return easy_.get(); }
  /// Prepares the next transfer; an error is final.
  Result<> begin();

  /// What to do after a transfer.
  enum class Next { kDone, kAgain, kWait };
  struct Outcome {
    Next next = Next::kDone;
    std::int64_t wait_ms = 0;  ///< kWait
    std::string why;           ///< kWait: what went wrong
    Result<> result;           ///< kDone
  };
  Outcome ended(CURLcode code);

  std::string take_text() { return std::move(text_); }
  const HttpResponse& response() const { return response_; }
  Request& request() { return request_; }
  /// Of the endpoint that answered.
  std::size_t endpoint() const { return endpoint_; }

 private:
  bool take_header(std::string_view line);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  bool take_body(std::string_view data);
  bool write_file(std::string_view data);
  std::optional<Error> size_fault() const;
  Outcome redirected();
  Outcome unauthorized();
  std::size_t next_endpoint() const;
  Outcome failed(Error error, bool passing, std::optional<std::int64_t> asked_s);
  Outcome finished();
  Error error(Code code, std::string_view reason, const std::string& cause,
              std::string hint = {}) const;
  Error status_error() const;
  const image::Endpoint& about() const { return endpoints_[endpoint_]->about; }

  Request request_;
  std::vector<Endpoint*> endpoints_;
  std::string reference_;
  EasyHandle easy_;
  HeaderList headers_;
  std::size_t endpoint_ = 0;
  std::uint64_t begun_at_;  ///< the sink's offset when the endpoint had its turn
  std::string url_;
  int redirects_ = 0, tries_ = 1;
  bool authorized_again_ = false, without_range_ = false;
  std::optional<Error> first_tls_error_;

  HttpResponse response_;
  std::string text_, error_body_;
  std::uint64_t skip_ = 0;
  bool body_begun_ = false;
  std::optional<Error> fault_;  ///< of this transfer, found while it ran
  bool fault_passing_ = false;
};

}  // namespace caisson::fetch
