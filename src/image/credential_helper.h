// Credential helpers: programs `docker-credential-NAME` that keep credentials
// (github.com/docker/docker-credential-helpers). They are the caller's own and run as the caller.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "image/auth_file.h"

namespace caisson::image {

class CredentialHelper final {
 public:
  /// `search_path`: the caller's PATH. Errors: `credential_helper_invalid` for a NAME that is not
  /// plain, `credential_helper_missing`.
  static Result<CredentialHelper> find(std::string_view name, std::string_view search_path);

  /// Absent when it has none. Errors: `credential_helper_failed`.
  Result<std::optional<Credentials>> get(std::string_view server) const;
  Result<> store(std::string_view server, const Credentials& credentials) const;
  Result<> erase(std::string_view server) const;

  /// What a person needs at most to unlock a key ring.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);

 private:
  explicit CredentialHelper(std::string path) : path_(std::move(path)) {}
  struct Ended {
    int status = 0;
    std::string output, errors;
  };
  Result<Ended> call(const char* verb, std::string_view input) const;
  Error failed(const char* verb, const Ended& ended) const;

  std::string path_;
};

/// What `get` prints, as credentials. Errors: `credential_helper_failed`. Pure.
Result<Credentials> parse_helper_output(std::string_view text);

}  // namespace caisson::image
