// What the trees of layers have in common (docs/formats/images.md): as overlayfs reads them.
#pragma once

#include <sys/stat.h>

#include <string>

#include "base/fd.h"

namespace caisson::image {

/// The name does not show, whatever lower layers have under it.
bool is_whiteout(const struct stat& st);
/// What lower layers have in this directory does not show.
bool is_opaque(int dir);
/// `path` below `root`, of directories alone: nothing is followed.
Result<Fd> open_directory(int root, const std::string& path);

}  // namespace caisson::image
