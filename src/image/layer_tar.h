// LayerTar: what distinguishes two stacks of layers, as an OCI layer (image-spec, layer.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "files/tar_writer.h"

namespace caisson::image {

/// Ids that mean each other in the box: root's and its user's. 0: none are swapped.
struct SwappedIds {
  std::uint32_t uid = 0, gid = 0;
};

/// Writes the layer that makes `after` of `before` (trees, topmost first), with the archive's end.
/// Owners are as this process sees them, but for the swapped. Nothing in a tree is followed.
/// Sockets are left out.
Result<> write_layer(const std::vector<std::string>& before, const std::vector<std::string>& after,
                     SwappedIds swapped, const files::Sink& sink);

}  // namespace caisson::image
