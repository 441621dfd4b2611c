// Where a box writes: the directories of its overlay, or its own copy of the image.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "container/plan.h"
#include "spec/rootfs.h"

namespace caisson::container {

/// Makes `data`/upper, whose attributes inside are those of the image's root, unless an earlier run
/// left it, and an empty `data`/work.
/// With strategy `merged`: makes `data`/rootfs, a copy of the image, unless an earlier run left it.
Result<> make_writable_layer(const std::string& data, const Rootfs& rootfs, bool root,
                             const Ids& ids);

/// Bytes that the box has put into `data` so far, counted until they exceed `enough`: the upper
/// directory, or what its own copy holds more than at its making.
std::uint64_t written_bytes(const std::string& data, const Rootfs& rootfs, std::uint64_t enough);

}  // namespace caisson::container
