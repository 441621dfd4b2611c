// Copies of layers: all as one directory, for boxes without an overlay; one as another layer.
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

/// Makes one layer of several, so that an overlay with it shows what it shows with them: whiteouts
/// and opaque directories stay. Otherwise as flatten().
Result<> copy_layers(const std::vector<std::string>& trees, int parent, const std::string& name);

}  // namespace caisson::image
