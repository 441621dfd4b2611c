// Manifests and indexes: what an image is made of.
#include <algorithm>
#include <array>

#include "spec/oci.h"
#include "spec/oci_json.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kDockerOld = "application/vnd.docker.distribution.manifest.v1+";
constexpr std::array<std::string_view, 2> kConfigs = {
    "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"};
constexpr std::uint64_t kLargestDocument = 4u << 20;

struct LayerType {
  std::string_view name;
  Compression compression;
};
constexpr std::array<LayerType, 7> kLayers = {
    {{"application/vnd.oci.image.layer.v1.tar", Compression::kNone},
     {"application/vnd.oci.image.layer.v1.tar+gzip", Compression::kGzip},
     {"application/vnd.oci.image.layer.v1.tar+zstd", Compression::kZstd},
     {"application/vnd.docker.image.rootfs.diff.tar", Compression::kNone},
     {"application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::kGzip},
     {"application/vnd.docker.image.rootfs.diff.tar.gz", Compression::kGzip},
     {"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::kZstd}}};

bool is_foreign(std::string_view type) {
  return type.starts_with("application/vnd.oci.image.layer.nondistributable.") ||
         type.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

Error unsupported(std::string_view what, std::string_view type, std::string hint = {}) {
  return make_error(Code::kUnimplemented, "media_type_unsupported",
                    format("parse {}: media type {} is not supported", what, quote(type)),
                    std::move(hint));
}

/// A Content-Type without its parameters.
std::string plain_type(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return lower(type);
}

enum class Kind { kUnknown, kManifest, kIndex };

Kind kind_of(std::string_view type) {
  if (type == kOciManifest || type == kDockerManifest) return Kind::kManifest;
  if (type == kOciIndex || type == kDockerList) return Kind::kIndex;
  return Kind::kUnknown;
}

Descriptor read_descriptor(DocumentReader in) {
  Descriptor descriptor;
  descriptor.media_type = in.text("mediaType");
  descriptor.digest = in.text("digest");
  descriptor.size = in.size("size");
  if (!is_digest(descriptor.digest))
    in.fault("digest", format("{} is not a sha256 digest", quote(descriptor.digest)));
  if (!in.has("size")) in.fault("size", "it is missing");
  descriptor.foreign = is_foreign(descriptor.media_type) && !in.texts("urls").empty();
  if (in.has("platform")) {
    DocumentReader platform = in.child("platform");
    const std::string os = platform.text("os"), architecture = platform.text("architecture");
    descriptor.platform = normal_platform(os, architecture, platform.text("variant"));
  }
  DocumentReader annotations = in.child("annotations");
  descriptor.image_name = annotations.text("io.containerd.image.name");
  descriptor.ref_name = annotations.text("org.opencontainers.image.ref.name");
  if (descriptor.ref_name.empty()) descriptor.ref_name = descriptor.image_name;
  return descriptor;
}

Result<> check_document_size(const Descriptor& descriptor, const DocumentFault& fault,
                             std::string_view what) {
  if (descriptor.size <= kLargestDocument) return {};
  return fault.error(
      format("{}: {} bytes are more than the 4 MiB that it may have", what, descriptor.size));
}

Result<ManifestDoc> read_manifest(DocumentReader in, std::string type, const DocumentFault& fault) {
  ManifestDoc manifest;
  manifest.media_type = std::move(type);
  manifest.config = read_descriptor(in.child("config"));
  std::vector<DocumentReader> layers = in.children("layers");
  if (layers.size() > kMostLayers)
    return make_error(Code::kResourceExhausted, "too_many_layers",
                      format("parse manifest: {} layers are more than the {} that overlayfs takes",
                             layers.size(), kMostLayers));
  for (DocumentReader& layer : layers) manifest.layers.push_back(read_descriptor(layer));
  TRY(fault.result());
  if (std::ranges::count(kConfigs, manifest.config.media_type) == 0)
    return unsupported("configuration of manifest", manifest.config.media_type,
                       "it is an artifact and no image to run");
  TRY(check_document_size(manifest.config, fault, "config"));
  if (manifest.layers.empty()) return fault.error("it has no layers");
  return manifest;
}

Result<IndexDoc> read_index(DocumentReader in, std::string type, const DocumentFault& fault) {
  IndexDoc index;
  index.media_type = std::move(type);
  for (DocumentReader& manifest : in.children("manifests"))
    index.manifests.push_back(read_descriptor(manifest));
  TRY(fault.result());
  return index;
}

/// The media type that document and sender agree on.
Result<std::string> agreed_type(const std::string& own, const std::string& said, bool index,
                                const DocumentFault& fault) {
  const Kind shape = index ? Kind::kIndex : Kind::kManifest;
  for (const std::string& type : {own, said}) {
    if (type.starts_with(kDockerOld))
      return unsupported("manifest", type, "push the image once more with a newer tool");
    if (kind_of(type) != Kind::kUnknown && kind_of(type) != shape)
      return fault.error(format("its media type is {}, its members are another's", quote(type)));
  }
  if (!own.empty() && kind_of(own) == Kind::kUnknown) return unsupported("manifest", own);
  if (!own.empty() && kind_of(said) != Kind::kUnknown && own != said)
    return fault.error(format("it says that it is {} and was sent as {}", quote(own), quote(said)));
  if (!own.empty()) return own;
  if (kind_of(said) != Kind::kUnknown) return said;
  return std::string(index ? kOciIndex : kOciManifest);
}

}  // namespace

Result<Compression> layer_compression(std::string_view media_type) {
  if (is_foreign(media_type))
    return make_error(Code::kUnimplemented, "layer_foreign",
                      format("read layer of type {}: its content is not in the registry and may "
                             "not be distributed",
                             quote(media_type)),
                      "use an image without foreign layers");
  for (const LayerType& type : kLayers)
    if (type.name == media_type) return type.compression;
  return unsupported("layer", media_type);
}

Result<std::variant<ManifestDoc, IndexDoc>> parse_manifest(std::string_view text,
                                                           std::string_view said_type) {
  DocumentFault fault("manifest_invalid", "manifest");
  const json document = TRY(parse_document(text, fault));
  DocumentReader in(&document, fault, {});
  if (in.has("signatures") || in.has("fsLayers") || in.size("schemaVersion") == 1)
    return unsupported("manifest", "Docker image manifest, schema 1",
                       "push the image once more with a newer tool");
  if (in.size("schemaVersion") != 2) in.fault("schemaVersion", "expected 2");
  const bool index = in.has("manifests");
  const bool manifest = in.has("config") || in.has("layers");
  if (index && manifest) return fault.error("it is both a manifest and an index");
  if (!index && !manifest) return fault.error("it is neither a manifest nor an index");
  const std::string own = in.text("mediaType");
  TRY(fault.result());
  std::string type = TRY(agreed_type(own, plain_type(said_type), index, fault));
  using Either = std::variant<ManifestDoc, IndexDoc>;
  if (index) return Either(TRY(read_index(in, std::move(type), fault)));
  return Either(TRY(read_manifest(in, std::move(type), fault)));
}

std::string make_manifest(const Descriptor& config, const std::vector<Descriptor>& layers) {
  const auto encoded = [](const Descriptor& d) {
    return json({{"mediaType", d.media_type}, {"digest", d.digest}, {"size", d.size}});
  };
  json array = json::array();
  for (const Descriptor& layer : layers) array.push_back(encoded(layer));
  return json({{"schemaVersion", 2},
               {"mediaType", kOciManifest},
               {"config", encoded(config)},
               {"layers", std::move(array)}})
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace caisson::spec
