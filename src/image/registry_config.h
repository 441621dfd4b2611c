// registries.json: mirrors, plain HTTP, own CAs (docs/registries.md).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/credentials.h"
#include "image/environment.h"
#include "image/fetch_protocol.h"
#include "spec/image_ref.h"

namespace caisson::image {

struct RegistrySettings {
  std::vector<std::string>
      mirrors;              ///< "HOST[:PORT][/PREFIX]", asked before the registry, in order
  bool insecure = false;    ///< certificates are not checked, plain HTTP is tried too
  bool plain_http = false;  ///< nothing but plain HTTP
  std::string ca;           ///< absolute path of a PEM file, trusted besides the system's
  friend bool operator==(const RegistrySettings&, const RegistrySettings&) = default;
};

struct RegistryConfig {
  std::map<std::string, RegistrySettings> registries;  ///< by domain, "docker.io"
  /// Where `<domain>/ca.crt` is looked for when `ca` is not set.
  std::vector<std::string> ca_directories = {"/etc/containers/certs.d", "/etc/docker/certs.d"};
};

/// Pure. Errors: those of spec/json.h, `registry_config_invalid`.
Result<RegistryConfig> parse_registry_config(std::string_view text);

/// $CAISSON_REGISTRIES, $XDG_CONFIG_HOME/caisson/registries.json (or that of ~/.config),
/// /etc/caisson/registries.json: the first that is there. None is no error, but a missing
/// $CAISSON_REGISTRIES is one.
Result<RegistryConfig> load_registry_config(const Environment& environment = process_variable);

/// The domain that `caisson login TEXT` means: "" and Docker's old names are docker.io; a scheme
/// and a path are passed over. Errors: `reference_invalid`.
Result<std::string> parse_registry(std::string_view text);

/// Where to ask for a repository: mirrors first, the registry last. Where both HTTPS and plain HTTP
/// are allowed (`insecure`, and registries on this machine unless they have a CA) they are two
/// endpoints in this order. Credentials are looked up for each host. Errors: those of
/// CredentialStore, `registry_config_invalid` for a CA that cannot be read.
Result<std::vector<Endpoint>> endpoints(const spec::ImageRef& ref, const RegistryConfig& config,
                                        const CredentialStore& credentials);
/// Those of the registry alone, without credentials and repository: for login.
Result<std::vector<Endpoint>> login_endpoints(const std::string& domain,
                                              const RegistryConfig& config);

/// 127.0.0.0/8, [::1], localhost; with or without a port.
bool is_loopback(std::string_view domain);

}  // namespace caisson::image
