// From what caisson-fetch has brought to images that everybody sees (docs/formats/images.md).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/fetch.h"
#include "spec/oci.h"

namespace caisson::engine {

/// What caisson-fetch said.
struct Fetched {
  std::string digest;  ///< that was asked for, or empty
  std::vector<image::LayerReady> layers;
  std::vector<image::ImageReady> images;
};

struct Documents {
  std::string manifest, config;
  std::vector<std::string> indexes;  ///< as ImageReady::index_digests
};
/// What the home has already.
struct Present {
  std::function<bool(std::string_view chain_id)> tree;
  std::function<bool(std::string_view digest, std::uint64_t size)> blob;
};
/// Holds what caisson-fetch says of an image against its documents. Pure. Errors: `image_mismatch`,
/// `image_vanished`.
Result<store::ImageRow> prove(const image::ImageReady& ready, const Documents& documents,
                              const std::vector<image::LayerReady>& layers, const Present& present);

/// Proves that the digest that was asked for leads to this image, through its indexes. Pure.
/// Errors: `image_mismatch`.
Result<> prove_digest(const std::string& asked, const image::ImageReady& ready,
                      const Documents& documents);

/// A document of fetch/partial/ or blobs/sha256/, if it has the digest. Errors: `blob_missing`,
/// `digest_mismatch`, `document_too_large`.
Result<std::string> read_document(const Runtime::Impl& runtime, std::string_view digest,
                                  bool also_partial = false);

/// Proves, moves into place and makes visible; returns the ids. Every process that could write to
/// fetch/ for this pull is gone. Errors: `image_vanished`: what the home had when the pull began
/// has been removed since, so it has to be fetched too.
Result<std::vector<std::string>> publish(const Runtime::Impl& runtime, const Fetched& fetched,
                                         const std::string& staging_id);

}  // namespace caisson::engine
