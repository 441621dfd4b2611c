// ImageState: which images a home has, under which names, made of what.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/state.h"

namespace caisson::store {

struct LayerRow {
  std::string chain_id, digest, diff_id, media_type;
  std::uint64_t size = 0;
  std::uint64_t disk_bytes = 0;
  friend bool operator==(const LayerRow&, const LayerRow&) = default;
};
/// A blob that an image needs: layers, configuration, manifest and the indexes above it.
struct BlobRow {
  std::string digest;
  std::uint64_t size = 0;
  friend bool operator==(const BlobRow&, const BlobRow&) = default;
};
struct ImageRow {
  std::string id;  ///< digest of its manifest
  std::string config_digest, os, architecture, variant, created;
  std::int64_t pulled_ns = 0, used_ns = 0;
  bool removed = false;            ///< by force, while boxes used it: it goes with the last of them
  std::vector<std::string> names;  ///< sorted
  std::vector<LayerRow> layers;    ///< lowest first
  std::vector<BlobRow> blobs;      ///< each once
  friend bool operator==(const ImageRow&, const ImageRow&) = default;
};
/// What an image takes, from the rows alone; a blob's bytes are rounded up to blocks.
struct ImageUse {
  std::uint64_t size = 0, disk_bytes = 0, own_bytes = 0;
};

/// What is still named by an image. Digests with their "sha256:".
struct Referenced {
  std::set<std::string> blobs, chains, images;
  std::map<std::string, std::uint64_t> trees;  ///< bytes of every tree that has a row
};

/// Thread-safe, and shares its State's connection. Every call is one transaction.
class ImageState final {
 public:
  /// `state` must stay where it is.
  explicit ImageState(State& state) : state_(&state) {}

  /// Makes images visible: `present` looks, with the right to write in hand, whether everything
  /// they need is in its place. A name that another image had moves.
  Result<> publish(const std::vector<ImageRow>& images, const std::function<Result<>()>& present);

  /// Newest first. Complete rows.
  Result<std::vector<ImageRow>> list();
  Result<std::optional<ImageRow>> find(std::string_view id);
  Result<std::optional<std::string>> named(std::string_view name);
  /// Ids of those whose manifest's or configuration's digest begins so, at most 4. `begin` has its
  /// "sha256:".
  Result<std::vector<std::string>> beginning(std::string_view begin);
  Result<ImageUse> use(std::string_view id);
  /// Ids of the boxes that are made from it.
  Result<std::vector<std::string>> boxes(std::string_view id);

  Result<> tag(std::string_view id, std::string_view name);
  /// What remove() did. `image_in_use` when `only_unused` and boxes use it.
  struct Removal {
    std::vector<std::string> untagged;
    bool deleted = false;  ///< else boxes keep it
  };
  /// Takes `names` from the image and, when it has none left, the image; with boxes using it, it is
  /// marked and goes with the last of them (`force`), else that is an error.
  Result<Removal> remove(std::string_view id, const std::vector<std::string>& names, bool force);
  /// Removes the image if no box uses it and `even_named` or it has no name; false otherwise.
  Result<bool> drop_unused(std::string_view id, bool even_named);
  /// Removes it if it is marked and no box uses it any more, and returns what it was.
  Result<std::optional<ImageRow>> drop_marked(std::string_view id);

  /// The bytes of a tree, if known.
  Result<std::optional<std::uint64_t>> disk_bytes(std::string_view chain_id);

  /// With the right to write in hand: `sweep` moves away what is not in `Referenced`. The rows of
  /// trees that nothing names go.
  Result<> collect(const std::function<Result<>(const Referenced&)>& sweep);

 private:
  Database& database() { return state_->database_; }
  Result<std::optional<ImageRow>> find_row(std::string_view id);
  Result<ImageRow> read(ImageRow row);
  Result<std::vector<std::string>> texts(const char* sql, std::string_view value);
  Result<> insert(const ImageRow& image);
  Result<> erase(std::string_view id);

  State* state_;
};

}  // namespace caisson::store
