// From the members of a tar to calls of a TreeWriter.
#pragma once

#include "fetch/tar_reader.h"
#include "fetch/tree_writer.h"

namespace caisson::fetch {

/// Makes everything that the tar's members say. Errors name the member: `layer_unsafe`,
/// `layer_invalid`, `layer_bomb`, `disk_full`, or the reader's.
Result<> extract(TarReader& tar, TreeWriter& tree, const LayerCaps& caps);

}  // namespace caisson::fetch
