// -e and --env-file: the only ways by which the caller's environment reaches a box.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/result.h"

namespace caisson::cli {

using Environment = std::map<std::string, std::string>;

/// "K=V", or "K" to copy K from the caller's environment (nothing when it is not set there).
Result<> add_variable(Environment& env, std::string_view text);

/// The lines of an environment file: as add_variable; blank lines and lines that start with
/// '#' are skipped. `path` is for messages.
Result<> add_variables(Environment& env, std::string_view content, const std::string& path);

/// The options as given. Variables named one by one win over those from files.
struct EnvironmentOptions {
  std::vector<std::string> files;
  std::vector<std::string> variables;

  Result<Environment> resolve() const;
};

}  // namespace caisson::cli
