#include "fetch/registry/http.h"

#include <algorithm>

#include "fetch/registry/registry.h"

namespace caisson::fetch {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// The header's value if it has this name (lower case).
bool is(std::string_view line, std::string_view name, std::string_view& value) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  if (line.size() <= name.size() || line[name.size()] != ':' ||
      !std::ranges::equal(line.substr(0, name.size()), name, same))
    return false;
  value = trimmed(line.substr(name.size() + 1));
  return true;
}

}  // namespace

bool is_tls(CURLcode code) {
  return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR;
}

std::string no_proxy_list(const std::string& no_proxy) {
  // libcurl knows the star only where it stands alone.
  if (trimmed(no_proxy) == "*") return "*";
  return "localhost,127.0.0.1,::1," + no_proxy;
}

void add_header(HeaderList& list, const std::string& line) {
  if (curl_slist* more = ::curl_slist_append(list.get(), line.c_str())) {
    [[maybe_unused]] curl_slist* old = list.release();
    list.reset(more);
  }
}

bool HttpResponse::take(std::string_view line) {
  constexpr std::size_t kMost = 128 << 10;
  if (line.starts_with("HTTP/")) *this = HttpResponse{.bytes = bytes};
  bytes += line.size();
  std::string_view value;
  if (is(line, "content-type", value)) content_type = trimmed(value.substr(0, value.find(';')));
  if (is(line, "content-length", value)) content_length = value;
  if (is(line, "content-range", value)) content_range = value;
  if (is(line, "location", value)) location = value;
  if (is(line, "retry-after", value)) retry_after = value;
  if (is(line, "www-authenticate", value))
    challenges.append(challenges.empty() ? "" : ", ").append(value);
  return bytes <= kMost;
}

void set_common(CURL* easy, const image::Endpoint& endpoint, const HttpSettings& settings,
                const std::string& certificates, const std::string& url) {
  const bool tls = url.starts_with("https:");
  ::curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(easy, CURLOPT_USERAGENT, "caisson/" CAISSON_VERSION);
  ::curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L << 10);
  ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 15L);
  ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1024L);
  ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 30L);
  ::curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  // An empty proxy also keeps libcurl from looking for one in the environment.
  ::curl_easy_setopt(easy, CURLOPT_PROXY,
                     (tls ? settings.https_proxy : settings.http_proxy).c_str());
  ::curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy_list(settings.no_proxy).c_str());
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, endpoint.skip_verify ? 0L : 1L);
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, endpoint.skip_verify ? 0L : 2L);
  if (certificates.empty()) return;
  curl_blob blob{const_cast<char*>(certificates.data()), certificates.size(), CURL_BLOB_NOCOPY};
  ::curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
}

}  // namespace caisson::fetch
