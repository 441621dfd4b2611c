// Flatten: the layers of an image as one directory, for boxes without an overlay.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace caisson::image {

/// Makes `name` in the directory `parent` of the layer trees `lowers` (docs/formats/images.md;
/// paths, topmost first), without their whiteouts. Only what shows is copied, and the copies share
/// blocks where the file system can (FICLONE). Types, owners, modes, times, links and extended
/// attributes are kept. Half a copy never has the name. The trees are hostile: nothing in them is
/// followed.
Result<> flatten(const std::vector<std::string>& lowers, int parent, const std::string& name);

}  // namespace caisson::image
