// Registry: one repository of a registry or its mirrors (OCI distribution-spec v1.1, "Pull").
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "image/fetch_protocol.h"
#include "spec/oci.h"

namespace caisson::fetch {

/// What every request shares.
struct HttpSettings {
  std::string http_proxy, https_proxy, no_proxy;
};

/// Not thread-safe. A failure that time may mend (no connection, a broken transfer, 408, 429, 5xx)
/// is tried again up to four times, with growing pauses or those that the registry asks for; then
/// the next endpoint has its turn. Credentials go to their endpoint's origin and to the token
/// server that it names, never along a redirect to another origin; from https nothing leads to
/// http. Errors: `registry_unreachable`, `registry_tls`, `registry_unauthorized`,
/// `registry_denied`, `registry_rate_limited`, `registry_downgrade`, `registry_redirects`,
/// `registry_error`, `image_not_found_remote`, `manifest_too_large`, `layer_size_mismatch`; each
/// names the registry.
class Registry final {
 public:
  struct Hooks {
    std::function<void(std::string text)> retry;  ///< what went wrong and how long it waits
  };
  /// `reference` is for messages. Reads the host's certificates where an endpoint has its own too.
  static Result<std::unique_ptr<Registry>> open(std::vector<image::Endpoint> endpoints,
                                                const HttpSettings& settings, std::string reference,
                                                Hooks hooks);
  ~Registry();

  struct Document {
    std::string text, media_type;
  };
  /// Waits for it. `what` is a tag or a digest.
  Result<Document> manifest(const std::string& what);
  Result<std::string> blob(const spec::Descriptor& descriptor);

  /// Begins to write a blob to `fd` from `offset` on, never beyond its size. `step` calls
  /// `progress` with what is there so far, and `done` once.
  void download(const spec::Descriptor& descriptor, int fd, std::uint64_t offset,
                std::function<void(std::uint64_t)> progress, std::function<void(Result<>)> done);
  /// Goes on with the downloads; waits until the network has something, one of `others` polls
  /// readable, or the time is over.
  Result<> step(int timeout_ms, std::span<const int> others);

  /// GET /v2/: whether the endpoint takes its credentials.
  Result<> check();

 private:
  class Impl;
  explicit Registry(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson::fetch
