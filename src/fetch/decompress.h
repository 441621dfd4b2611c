// Decompression of layers, piece by piece: gzip (any number of members), zstd (any number of
// frames), or none.
#pragma once

#include <memory>
#include <span>

#include "base/error.h"
#include "spec/oci.h"

namespace caisson::fetch {

/// The largest zstd window (32 MiB) a layer may ask for: that much memory is held for it. Go's
/// encoder, which image tools use, takes no more at its best level; `zstd --ultra` can.
constexpr int kMaxZstdWindowLog = 25;

class Decompressor {
 public:
  struct Step {
    std::size_t consumed = 0, produced = 0;
  };
  virtual ~Decompressor() = default;
  /// Decompresses from `in` into `out`. Either all of `in` is consumed or `out` is full, and
  /// what is already consumed may still produce: call again until nothing is produced. Errors:
  /// `layer_invalid`.
  virtual Result<Step> step(std::span<const unsigned char> in, std::span<unsigned char> out) = 0;
  /// Whether the input may end here. Errors: `layer_invalid` when it is cut off.
  virtual Result<> finish() = 0;
};
Result<std::unique_ptr<Decompressor>> make_decompressor(spec::Compression compression);

}  // namespace caisson::fetch
