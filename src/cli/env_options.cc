#include "cli/env_options.h"

#include <cstdlib>

#include "cli/io.h"

namespace caisson::cli {

Result<> add_variable(Environment& env, std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  if (name.empty()) {
    return cli_error(Code::kInvalidArgument, "env_invalid",
                     "read variable '" + std::string(text) + "': its name is empty",
                     "write NAME=VALUE, or NAME to copy it from this environment");
  }
  if (equals != std::string_view::npos) {
    env[name] = text.substr(equals + 1);
  } else if (const char* own = std::getenv(name.c_str()); own != nullptr) {
    env[name] = own;
  }
  return {};
}

Result<> add_variables(Environment& env, std::string_view content, const std::string& path) {
  for (int line_number = 1; !content.empty(); ++line_number) {
    const std::size_t end = content.find('\n');
    std::string_view line = content.substr(0, end);
    content = end == std::string_view::npos ? std::string_view() : content.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos || line[start] == '#') continue;
    if (auto added = add_variable(env, line.substr(start)); !added) {
      Error error = std::move(added.error());
      error.message =
          "line " + std::to_string(line_number) + " of '" + path + "': " + error.message;
      return error;
    }
  }
  return {};
}

Result<Environment> EnvironmentOptions::resolve() const {
  Environment env;
  for (const std::string& path : files) {
    auto content = read_file(path, "env_file_unreadable");
    if (!content) return content.error();
    if (auto added = add_variables(env, *content, path); !added) return added.error();
  }
  for (const std::string& text : variables) {
    if (auto added = add_variable(env, text); !added) return added.error();
  }
  return env;
}

}  // namespace caisson::cli
