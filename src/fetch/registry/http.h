// libcurl's handles as values with an owner, and what every transfer of ours has in common.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>
#include <string_view>

#include "image/fetch_protocol.h"

namespace caisson::fetch {

struct HttpSettings;

struct FreeEasy {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
using EasyHandle = std::unique_ptr<CURL, FreeEasy>;
struct FreeHeaders {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeHeaders>;
/// Whether a transfer failed for TLS: a certificate, or no TLS there.
bool is_tls(CURLcode code);
/// What keeps libcurl from a proxy: loopback, and what the user says ("*" is all).
std::string no_proxy_list(const std::string& no_proxy);

void add_header(HeaderList& list, const std::string& line);

/// What we read of an answer's headers; the last of several wins, challenges are joined.
struct HttpResponse {
  std::string content_type, content_length, content_range, location, retry_after, challenges;
  std::size_t bytes = 0;  ///< of all headers
  /// False when there are more than anybody needs.
  bool take(std::string_view line);
};

/// Time-outs, protocols, proxies, certificates; no redirects are followed. The strings must outlive
/// the handle's use.
void set_common(CURL* easy, const image::Endpoint& endpoint, const HttpSettings& settings,
                const std::string& certificates, const std::string& url);

}  // namespace caisson::fetch
