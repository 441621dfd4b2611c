// Archives: Docker's manifest.json, and the indexes of archives that are written.
#include <algorithm>

#include "spec/json.h"
#include "spec/oci.h"
#include "spec/oci_json.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

constexpr std::size_t kMostImages = 10'000;

std::string print(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The name of a member of the archive.
bool is_member(std::string_view path) {
  return !path.empty() && !is_absolute(path) && !has_parent_component(path) && path.size() <= 4096;
}

DockerArchiveEntry read_entry(DocumentReader in) {
  DockerArchiveEntry entry;
  entry.config = in.text("Config");
  entry.repo_tags = in.texts("RepoTags");
  entry.layers = in.texts("Layers");
  if (!is_member(entry.config)) in.fault("Config", "not the path of a member");
  if (!std::ranges::all_of(entry.layers, is_member)) in.fault("Layers", "not the path of a member");
  if (entry.layers.empty()) in.fault("Layers", "it has no layers");
  if (entry.layers.size() > kMostLayers)
    in.fault("Layers", format("more than {} layers", kMostLayers));
  return entry;
}

json encode_descriptor(const Descriptor& descriptor, const std::string& name) {
  json object = {{"mediaType", descriptor.media_type},
                 {"digest", descriptor.digest},
                 {"size", descriptor.size}};
  if (descriptor.platform) {
    object["platform"] = {{"os", descriptor.platform->os},
                          {"architecture", descriptor.platform->architecture}};
    if (!descriptor.platform->variant.empty())
      object["platform"]["variant"] = descriptor.platform->variant;
  }
  if (!name.empty())
    object["annotations"] = {{"org.opencontainers.image.ref.name", name},
                             {"io.containerd.image.name", name}};
  return object;
}

}  // namespace

Result<std::vector<DockerArchiveEntry>> parse_docker_archive(std::string_view text) {
  DocumentFault fault("archive_invalid", "manifest.json of docker archive");
  Result<json> list = parse_json(text, kMostOciValues);
  if (!list) return fault.error(list.error().message);
  if (!list->is_array()) return fault.error("it is not a list");
  if (list->empty()) return fault.error("it has no images");
  if (list->size() > kMostImages) return fault.error("it has too many images");
  std::vector<DockerArchiveEntry> entries;
  for (std::size_t i = 0; i < list->size() && !fault.any(); ++i)
    entries.push_back(read_entry(DocumentReader(&(*list)[i], fault, format("[{}]", i))));
  TRY(fault.result());
  return entries;
}

std::string make_index(const std::vector<SavedImage>& images) {
  json manifests = json::array();
  for (const SavedImage& image : images) {
    if (image.names.empty()) manifests.push_back(encode_descriptor(image.manifest, {}));
    for (const std::string& name : image.names)
      manifests.push_back(encode_descriptor(image.manifest, name));
  }
  return print({{"schemaVersion", 2},
                {"mediaType", "application/vnd.oci.image.index.v1+json"},
                {"manifests", std::move(manifests)}});
}

std::string make_docker_manifest(const std::vector<SavedImage>& images) {
  json list = json::array();
  for (const SavedImage& image : images) {
    json tags = json::array();
    for (const std::string& name : image.names) {
      const Result<ImageRef> ref = parse_image_ref(name);
      if (ref && ref->digest.empty()) tags.push_back(familiar(*ref));  // docker has no other names
    }
    list.push_back({{"Config", image.config_path},
                    {"RepoTags", std::move(tags)},
                    {"Layers", image.layer_paths}});
  }
  return print(list);
}

}  // namespace caisson::spec
