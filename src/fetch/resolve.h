// From what was asked for to one image: its documents proved, its layers named.
#pragma once

#include <vector>

#include "fetch/origin.h"
#include "fetch/store.h"

namespace caisson::fetch {

struct ResolvedLayer {
  spec::Descriptor blob;
  std::string diff_id, chain_id;
};
struct ResolvedImage {
  image::ImageReady ready;
  std::vector<ResolvedLayer> layers;
};

/// Follows indexes to the manifest of the platform that was asked for, and keeps every document on
/// the way. Errors: those of spec/oci.h, `manifest_digest_mismatch`, `manifest_loop`,
/// `platform_not_found`, `config_digest_mismatch`, `too_many_layers`.
Result<ResolvedImage> resolve_image(Origin& origin, const BlobStore& store, WantedImage wanted,
                                    const image::PullRequest& request);

}  // namespace caisson::fetch
