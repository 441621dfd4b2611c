// The files in which docker and podman keep credentials, as a value (docs/registries.md). Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::image {

/// What a registry is told. All empty: nothing.
struct Credentials {
  std::string username, password;
  std::string identity_token;  ///< exchanged for a token (OAuth 2 refresh token)
  std::string registry_token;  ///< sent as it is
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

class AuthFile final {
 public:
  AuthFile() : document_(nlohmann::json::object()) {}
  /// Unknown members are kept. Errors: `auth_file_invalid`.
  static Result<AuthFile> parse(std::string_view text);

  /// Those under the longest key that is `domain` or the beginning of `domain`/`repository`.
  Result<std::optional<Credentials>> find(std::string_view domain,
                                          std::string_view repository) const;
  /// The helper for it: of `credHelpers`, and the one for everything (`credsStore`). May be empty.
  std::string helper(std::string_view domain, std::string_view repository) const;
  std::string store() const;

  /// Under the key that `domain` has already, else `fallback_key`. With `marker` the entry is
  /// empty: a helper has the rest.
  void set(std::string_view domain, std::string_view fallback_key, const Credentials& credentials,
           bool marker);
  /// False when there was nothing.
  bool erase(std::string_view domain);
  std::string print() const;

 private:
  nlohmann::json document_;
};

/// "docker.io" from "https://index.docker.io/v1/"; "host:5000/ns" from itself.
std::string normal_key(std::string_view key);

}  // namespace caisson::image
