// Changes as bytes: how differences get from whoever can look into trees to whoever asked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "caisson/snapshot.h"
#include "files/tar_writer.h"

namespace caisson::image {

/// Writes the differences (diff.h), each as kind, path, NUL.
Result<> write_changes(const std::vector<std::string>& before,
                       const std::vector<std::string>& after, const files::Sink& sink);

/// Reads them. Whoever sent them may be hostile: `protocol_error` for what is no list of files in a
/// box.
Result<std::vector<Change>> read_changes(std::string_view bytes);

}  // namespace caisson::image
