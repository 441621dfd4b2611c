// The disk that a box writes.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace caisson::vm {

/// Opens `disk.qcow2` in the directory `data`, for writing. One that is not there is made: a copy
/// of an empty ext4 of `bytes`, which is made once and kept in `cache`. Errors: `mke2fs_missing`,
/// `qemu_img_missing`, `disk_full`.
Result<Fd> open_box_disk(int data, const std::string& cache, std::uint64_t bytes);

}  // namespace caisson::vm
