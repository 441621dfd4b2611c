// Unpacking a layer in this process: what an unpacker does once it is sealed.
#pragma once

#include <functional>

#include "fetch/blob_pump.h"
#include "fetch/unpacker.h"
#include "image/fetch_protocol.h"

namespace caisson::fetch {

struct UnpackHooks {
  BlobPump::Progress progress;
  /// Returns when the trees of all parents are complete.
  std::function<Result<>()> wait_for_parents;
};

/// Everything but sealing and talking. Errors: `layer_digest_mismatch`, `layer_size_mismatch`,
/// `layer_diff_id_mismatch`, `layer_unsafe`, `layer_invalid`, `layer_bomb`, `disk_full`,
/// `download_incomplete`; all name the layer's digest.
Result<image::LayerReady> unpack_layer(const UnpackJob& job, const UnpackHooks& hooks);

}  // namespace caisson::fetch
