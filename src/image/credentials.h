// Where the credentials for a registry come from and go to (docs/registries.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/auth_file.h"
#include "image/environment.h"

namespace caisson::image {

class CredentialStore final {
 public:
  explicit CredentialStore(Environment environment = process_variable)
      : environment_(std::move(environment)) {}

  /// The first that is found, in the order of files(); absent: none. Errors: `auth_file_invalid`,
  /// those of CredentialHelper.
  Result<std::optional<Credentials>> find(std::string_view domain,
                                          std::string_view repository) const;
  /// Into the first of $REGISTRY_AUTH_FILE and docker's file, or the helper that it names.
  Result<> store(std::string_view domain, const Credentials& credentials) const;
  /// Out of all files and their helpers; false when there was nothing.
  Result<bool> erase(std::string_view domain) const;

  /// The files that are looked at, whether or not they are there.
  std::vector<std::string> files() const;

 private:
  std::string docker_file() const;
  Result<std::optional<Credentials>> ask(const std::string& helper, std::string_view domain) const;
  Result<bool> erase_from(const std::string& path, std::string_view domain) const;

  Environment environment_;
};

}  // namespace caisson::image
