// URLs as libcurl reads them, so that what is checked is what is used.
#pragma once

#include <string>

#include "base/error.h"

namespace caisson::fetch {

struct UrlOrigin {
  std::string scheme, host, port;
  friend bool operator==(const UrlOrigin&, const UrlOrigin&) = default;
};
/// RFC 6454: scheme, host and port, with the scheme's port where none is given. Errors:
/// `registry_url_invalid` for what is not http or https.
Result<UrlOrigin> origin_of(const std::string& url);
/// `location` as a redirect of `base` means it (RFC 3986, section 5).
Result<std::string> resolve_url(const std::string& base, const std::string& location);
/// `url` with one more `name=value` in its query.
Result<std::string> with_query(const std::string& url, const std::string& name,
                               const std::string& value);

}  // namespace caisson::fetch
