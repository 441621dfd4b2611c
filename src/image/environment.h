// The caller's environment, as far as images look at it.
#pragma once

#include <functional>
#include <string>

namespace caisson::image {

/// The value of a variable; empty when it is not set.
using Environment = std::function<std::string(const char* name)>;

/// That of this process.
std::string process_variable(const char* name);

/// Proxies as curl takes them: `http_proxy` in lower case only, because a server's CGI programs get
/// HTTP_PROXY from the request; the others in both cases; `all_proxy` where one is not given.
struct Proxies {
  std::string http, https, none;
};
Proxies proxies(const Environment& environment);

}  // namespace caisson::image
