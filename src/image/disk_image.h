// Disk images: an image's root as one ext4 file, and copy-on-write overlays of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace caisson::image {

struct DiskImage {
  std::vector<std::string> lowers;  ///< trees, topmost first, below `lower_parent`
  std::string lower_parent;
  std::string directory, name;  ///< the file that is made
  std::string digest;           ///< of the manifest: its file system's UUID and hashes come from it
};

/// Makes the file: an ext4 without journal, with the owners, modes, times (whole seconds) and
/// attributes that a box sees. Two that are made of the same trees differ at most in times of
/// access and change. For a process of its own: it leaves the caller's mount and network
/// namespaces, and an ordinary user's must be in its outer namespace. mke2fs(8) reads the layers
/// through an overlay. Half a file never has the name. Errors: `mke2fs_missing`, `disk_full`, those
/// of sys::make_overlay.
Result<> make_disk_image(const DiskImage& image);

/// A qcow2 file (qemu-img(1)) on top of the raw image `base`, which it names by its absolute path.
/// Errors: `qemu_img_missing`, `program_failed`.
Result<> make_qcow2_overlay(const std::string& base, const std::string& path);

/// A qcow2 file that holds an empty ext4 of `bytes`, with a journal, for a guest to write. Errors:
/// `mke2fs_missing`, `qemu_img_missing`, `disk_full`, `program_failed`.
Result<> make_empty_disk(const std::string& path, std::uint64_t bytes);

}  // namespace caisson::image
