#include "fetch/registry/url.h"

#include <curl/curl.h>

#include <memory>

namespace caisson::fetch {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { ::curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

Error invalid(const std::string& url, CURLUcode code) {
  return make_error(Code::kInvalidArgument, "registry_url_invalid",
                    format("use URL '{}': {}", url, ::curl_url_strerror(code)));
}

Result<Url> parse(const std::string& text) {
  Url url(::curl_url());
  if (const CURLUcode code = ::curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0);
      code != CURLUE_OK)
    return invalid(text, code);
  return url;
}

Result<std::string> part(const Url& url, CURLUPart what, unsigned flags, const std::string& text) {
  char* value = nullptr;
  if (const CURLUcode code = ::curl_url_get(url.get(), what, &value, flags); code != CURLUE_OK)
    return invalid(text, code);
  std::string copy(value);
  ::curl_free(value);
  return copy;
}

}  // namespace

Result<UrlOrigin> origin_of(const std::string& url) {
  const Url parsed = TRY(parse(url));
  UrlOrigin origin{TRY(part(parsed, CURLUPART_SCHEME, 0, url)),
                   TRY(part(parsed, CURLUPART_HOST, 0, url)),
                   TRY(part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, url))};
  for (char& c : origin.host)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (origin.scheme != "https" && origin.scheme != "http")
    return make_error(Code::kInvalidArgument, "registry_url_invalid",
                      format("use URL '{}': neither http nor https", url));
  return origin;
}

Result<std::string> resolve_url(const std::string& base, const std::string& location) {
  const Url url = TRY(parse(base));
  if (const CURLUcode code = ::curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0);
      code != CURLUE_OK)
    return invalid(location, code);
  return part(url, CURLUPART_URL, 0, location);
}

Result<std::string> with_query(const std::string& url, const std::string& name,
                               const std::string& value) {
  const Url parsed = TRY(parse(url));
  const std::string pair = name + "=" + value;
  if (const CURLUcode code = ::curl_url_set(parsed.get(), CURLUPART_QUERY, pair.c_str(),
                                            CURLU_APPENDQUERY | CURLU_URLENCODE);
      code != CURLUE_OK)
    return invalid(url, code);
  return part(parsed, CURLUPART_URL, 0, url);
}

}  // namespace caisson::fetch
