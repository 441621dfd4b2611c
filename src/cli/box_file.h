// -f: a box as a file.
#pragma once

#include <string>

#include "caisson/spec.h"

namespace caisson::cli {

/// `path` taken from `directory`, without '.' and '..' as text; a '/' at the end stays.
std::string absolute_path(const std::string& path, const std::string& directory);

/// The box that a file in YAML or JSON describes; "-" is standard input. Relative paths of the host
/// count from the file's directory. Not validated: options may add what is missing.
Result<BoxSpec> read_box_file(const std::string& path);

}  // namespace caisson::cli
