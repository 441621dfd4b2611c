// What a microVM boots (docs/formats/guest.md), opened.
#pragma once

#include <string>

#include "base/fd.h"

namespace caisson::vm {

struct Assets {
  Fd kernel, initramfs;
  std::string digest;  ///< tells them from all others
};

/// Of the directory that `./dev guest` makes; `kernel`, a path, takes the place of its kernel when
/// it is not empty. Errors: `guest_missing`, `guest_invalid`, `kernel_invalid`.
Result<Assets> open_assets(const std::string& directory, const std::string& kernel);

/// `qemu_missing`.
Result<std::string> find_qemu();

}  // namespace caisson::vm
