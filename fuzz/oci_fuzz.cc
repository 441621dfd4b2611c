// Any bytes as the documents of images: no crash, one-line errors, and the promised bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/oci.h"

namespace {

using namespace caisson::spec;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
bool parsed(const caisson::Result<T>& result) {
  if (result) return true;
  require(!result.error().reason.empty());
  for (const std::string& text : {result.error().message, result.error().hint})
    for (char c : text) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  return false;
}

void check_manifest(const ManifestDoc& manifest) {
  require(!manifest.layers.empty() && manifest.layers.size() <= kMostLayers);
  for (const Descriptor& layer : manifest.layers) {
    require(is_digest(layer.digest));
    parsed(layer_compression(layer.media_type));
  }
  const auto again = parse_manifest(make_manifest(manifest.config, manifest.layers), "");
  require(again.has_value());
}

void check_index(const IndexDoc& index) {
  for (const char* name : {"linux/amd64", "linux/arm64", "linux/arm/v6"}) {
    const auto chosen = choose_platform(index, parse_platform(name).value());
    if (parsed(chosen)) require(is_digest(chosen->digest));
  }
}

void check_config(const ConfigDoc& config) {
  require(!config.diff_ids.empty() && config.diff_ids.size() <= kMostLayers);
  for (const std::string& id : chain_ids(config.diff_ids)) require(is_digest(id));
  for (const std::string& entry : config.config.env)
    require(entry.find('=') != std::string::npos && entry.find('\0') == std::string::npos);
  for (const std::string& volume : config.config.volumes)
    require(volume.size() > 1 && volume.front() == '/');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* said : {"", "application/vnd.oci.image.index.v1+json"}) {
    const auto document = parse_manifest(text, said);
    if (!parsed(document)) continue;
    if (const auto* manifest = std::get_if<ManifestDoc>(&*document)) check_manifest(*manifest);
    if (const auto* index = std::get_if<IndexDoc>(&*document)) check_index(*index);
  }
  const auto config = parse_config(text);
  if (parsed(config)) check_config(*config);
  parsed(parse_docker_archive(text));
  parsed(layer_compression(text));
  return 0;
}
