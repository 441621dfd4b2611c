// LayerTar: what distinguishes two stacks of layers, as an OCI layer (image-spec, layer.md).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "files/tar_writer.h"

namespace caisson::image {

/// Writes the layer that makes `after` of `before` (trees, topmost first), with the archive's end.
/// Owners are as this process sees them. Nothing in a tree is followed. Sockets are left out.
Result<> write_layer(const std::vector<std::string>& before, const std::vector<std::string>& after,
                     const files::Sink& sink);

}  // namespace caisson::image
