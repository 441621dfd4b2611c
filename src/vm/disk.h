// The disk that a box writes.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace caisson::vm {

// Names in the directory of a machine's files, of a box or a layer (docs/formats/home.md).
constexpr const char* kDisk = "disk.qcow2";
constexpr const char* kMemory = "memory";
constexpr const char* kState = "state";
constexpr const char* kMachine = "machine";
constexpr const char* kAsleep = "asleep";
constexpr const char* kStarted = "started";
constexpr const char* kSource = "source";

/// Opens the disk in the directory `name` of the box's directory `data`, for writing. One that is
/// not there is made: a copy of the one in the directory `saved`, or if that is empty of an empty
/// ext4 of `bytes`, which is made once and kept in `cache`. Errors: `mke2fs_missing`,
/// `qemu_img_missing`, `disk_full`. With `asleep` it is made anew, and marked with kAsleep: nothing
/// has gone on from it yet.
Result<Fd> open_box_disk(int data, const std::string& name, const std::string& saved,
                         const std::string& cache, std::uint64_t bytes, bool asleep);
void remove_box_disk(int data, const std::string& name);

}  // namespace caisson::vm
