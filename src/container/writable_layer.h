// The directories of a box's overlay.
#pragma once

#include <string>

#include "base/error.h"
#include "spec/rootfs.h"

namespace caisson::container {

/// Makes `data`/upper, whose attributes inside are those of the image's root, unless an earlier run
/// left it, and an empty `data`/work.
Result<> make_writable_layer(const std::string& data, const Rootfs& rootfs, bool root);

}  // namespace caisson::container
