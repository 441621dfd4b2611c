// The documents of OCI images and Docker's (image-spec v1.1: descriptor.md, manifest.md,
// image-index.md, config.md, image-layout.md; distribution's manifest-v2-2.md). Everything here is
// hostile input: sizes are bounded by the caller, depth and counts here. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "caisson/image.h"
#include "spec/image_ref.h"

namespace caisson::spec {

constexpr std::size_t kMostLayers = 499;  ///< kMaxLayers of fetch_protocol.h

struct Descriptor {
  std::string media_type, digest;
  std::uint64_t size = 0;
  std::optional<Platform> platform;
  /// Annotation org.opencontainers.image.ref.name; when that is absent, io.containerd.image.name.
  std::string ref_name;
  std::string image_name;  ///< annotation io.containerd.image.name
  bool foreign = false;    ///< has urls and a foreign (non-distributable) media type
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

enum class Compression { kNone, kGzip, kZstd };
/// Of a layer's media type. Errors: `layer_foreign`, `media_type_unsupported`.
Result<Compression> layer_compression(std::string_view media_type);

struct ManifestDoc {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  ///< lowest first; at most kMaxLayers of fetch_protocol.h
};
struct IndexDoc {
  std::string media_type;
  std::vector<Descriptor> manifests;
};
/// Tells manifest from index by mediaType and members; a document that is both is refused (as is
/// one with `signatures` or schemaVersion 1: `media_type_unsupported`). Errors: `manifest_invalid`.
/// `said_type`: what the registry's Content-Type or the descriptor said, or empty.
Result<std::variant<ManifestDoc, IndexDoc>> parse_manifest(std::string_view text,
                                                           std::string_view said_type);

/// The entry for a platform: the first exact one, else one that fits; descriptors that are no
/// manifests and attestations (unknown/unknown) are passed over. Errors: `platform_not_found`,
/// which lists what there is.
Result<Descriptor> choose_platform(const IndexDoc& index, const Platform& wanted);

struct ConfigDoc {
  Platform platform;
  std::string created;
  ImageConfig config;
  std::vector<std::string> diff_ids;
  std::vector<ImageHistory> history;
};
/// Errors: `config_invalid`.
Result<ConfigDoc> parse_config(std::string_view text);

/// The configuration of an image that is made of a box: `base` (a configuration, or empty) with
/// what the box runs, and one more layer.
struct CommittedImage {
  std::string base;
  ImageConfig config;
  Platform platform;
  std::string created;  ///< RFC 3339
  std::string comment;
  std::string diff_id;
};
/// Errors: `config_invalid`.
Result<std::string> make_config(const CommittedImage& image);

/// image-spec config.md, "Layer ChainID": of each layer, lowest first.
std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids);

/// manifest.json of a docker archive (docker save): one entry an image.
struct DockerArchiveEntry {
  std::string config;
  std::vector<std::string> repo_tags, layers;
};
Result<std::vector<DockerArchiveEntry>> parse_docker_archive(std::string_view text);

/// The OCI manifest made for an image that has none (docker archives). Deterministic.
std::string make_manifest(const Descriptor& config, const std::vector<Descriptor>& layers);
/// index.json and manifest.json of an archive that is written.
struct SavedImage {
  Descriptor manifest;             ///< with its platform
  std::vector<std::string> names;  ///< canonical
  std::string config_path;
  std::vector<std::string> layer_paths;
};
std::string make_index(const std::vector<SavedImage>& images);
std::string make_docker_manifest(const std::vector<SavedImage>& images);

}  // namespace caisson::spec
