// The source: finds an image's documents and layers in a registry, a directory or an archive, and
// brings its blobs into fetch/partial/. Everything it reads is hostile, and what it says is
// believed only as far as digests prove it.
#pragma once

#include "base/fd.h"
#include "image/fetch_protocol.h"

namespace caisson::fetch {

struct SourceDirectories {
  Fd fetch, blobs, layers;
  Fd input;  ///< what a PullRequest of another kind than a registry is about
};

/// In a fresh fork: gives up what is not needed, brings everything, and returns the exit status: 0
/// when all that was asked for is complete. What went wrong is an Error on `supervisor`.
int run_source(const image::PullRequest& request, SourceDirectories directories, Fd supervisor,
               bool root);

}  // namespace caisson::fetch
