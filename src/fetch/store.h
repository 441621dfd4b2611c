// What the source sees of the home: blobs that are published, blobs on their way, trees.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "fetch/source.h"
#include "spec/oci.h"

namespace caisson::fetch {

class BlobStore final {
 public:
  BlobStore(Fd partial, Fd blobs, Fd layers)
      : partial_(std::move(partial)), blobs_(std::move(blobs)), layers_(std::move(layers)) {}

  int partial() const { return partial_.get(); }
  int blobs() const { return blobs_.get(); }
  int layers() const { return layers_.get(); }

  /// A published blob, for reading; absent when there is none.
  Result<std::optional<Fd>> published(const std::string& digest) const;
  Result<bool> has_tree(const std::string& chain_id) const;
  /// A published document that is what its digest says.
  std::optional<std::string> document(const std::string& digest) const;
  /// Keeps a proved document under its digest for the engine to publish.
  Result<> keep_document(const std::string& digest, const std::string& text) const;

  /// The blob on its way, locked by us (flock(2)); absent when another pull has it.
  Result<std::optional<Fd>> lock_partial(const std::string& digest) const;
  Result<Fd> read_partial(const std::string& digest) const;
  void drop_partial(const std::string& digest) const;

 private:
  Fd partial_, blobs_, layers_;
};

}  // namespace caisson::fetch
