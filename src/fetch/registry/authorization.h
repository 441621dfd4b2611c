// What an endpoint is told about who asks: basic, or a token from the server that it names
// (distribution's "Token Authentication Specification" and "Oauth2 Token Authentication").
#pragma once

#include <string>

#include "fetch/registry/registry.h"
#include "image/fetch_protocol.h"

namespace caisson::fetch {

/// One endpoint and what is known of it.
struct Endpoint {
  image::Endpoint about;
  HttpSettings settings;
  std::string certificates;   ///< PEM; empty: libcurl's own
  std::string base;           ///< "https://host"
  std::string authorization;  ///< value of the header; empty: none yet

  bool has_credentials() const {
    return !about.username.empty() || !about.identity_token.empty() ||
           !about.registry_token.empty();
  }
};

/// Makes `authorization` from the challenges of an answer with status 401. Errors:
/// `registry_unauthorized`, `registry_downgrade`, `registry_unreachable`, `registry_tls`,
/// `registry_rate_limited`, `registry_error`.
Result<> authorize(Endpoint& endpoint, const std::string& challenges);

}  // namespace caisson::fetch
