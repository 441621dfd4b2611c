// Images as one archive: an OCI layout (image-spec, image-layout.md) that docker load takes too.
#include <fcntl.h>

#include <algorithm>
#include <map>

#include "base/sha256.h"
#include "engine/images_impl.h"
#include "files/tar_writer.h"

namespace caisson {
namespace {

using engine::find_image;
using engine::FoundImage;

/// By digest, so that what images share is there once and the order is always the same.
using Blobs = std::map<std::string, std::uint64_t>;

std::string member_of(std::string_view digest) {
  return format("blobs/sha256/{}", spec::hex_of(digest));
}

Result<spec::SavedImage> describe(const Runtime::Impl& runtime, const store::ImageRow& row,
                                  std::vector<std::string> names, Blobs& blobs) {
  const std::string text = TRY(engine::read_document(runtime, row.id));
  const auto parsed = TRY(spec::parse_manifest(text, ""));
  const auto* const manifest = std::get_if<spec::ManifestDoc>(&parsed);
  if (manifest == nullptr)
    return make_error(Code::kDataLoss, "manifest_invalid",
                      format("save image '{}': its manifest is none", row.id));
  spec::SavedImage saved;
  saved.manifest.media_type = manifest->media_type;
  saved.manifest.digest = row.id;
  saved.manifest.size = text.size();
  saved.manifest.platform = spec::Platform{row.os, row.architecture, row.variant};
  saved.names = std::move(names);
  saved.config_path = member_of(row.config_digest);
  blobs[row.id] = text.size();
  blobs[row.config_digest] = manifest->config.size;
  for (const store::LayerRow& layer : row.layers) {
    saved.layer_paths.push_back(member_of(layer.digest));
    blobs[layer.digest] = layer.size;
  }
  return saved;
}

/// Each image once, with the names it was asked for by; by id it gets none.
Result<std::vector<spec::SavedImage>> describe_all(const Runtime::Impl& runtime,
                                                   const std::vector<std::string>& references,
                                                   Blobs& blobs) {
  std::vector<std::pair<store::ImageRow, std::vector<std::string>>> wanted;
  for (const std::string& reference : references) {
    FoundImage found = TRY(find_image(runtime, reference));
    auto at = std::ranges::find_if(
        wanted, [&](const auto& image) { return image.first.id == found.row.id; });
    if (at == wanted.end()) {
      wanted.emplace_back(std::move(found.row), std::vector<std::string>());
      at = std::prev(wanted.end());
    }
    // A name with a digest is no tag that a load could give.
    if (!found.name.empty() && found.name.find('@') == std::string::npos)
      at->second.push_back(std::move(found.name));
  }
  std::vector<spec::SavedImage> images;
  for (auto& [row, names] : wanted)
    images.push_back(TRY(describe(runtime, row, std::move(names), blobs)));
  return images;
}

}  // namespace

Result<> Images::save(const std::vector<std::string>& references, int fd) {
  const Runtime::Impl& runtime = *impl_->runtime;
  if (references.empty())
    return make_error(Code::kInvalidArgument, "argument_missing", "save images: none is named");
  Blobs blobs;
  const std::vector<spec::SavedImage> images = TRY(describe_all(runtime, references, blobs));
  // The same images make the same bytes: every member is of root and from the epoch.
  files::TarWriter tar(
      [fd](std::string_view bytes) { return write_all(fd, bytes, "image archive"); });
  TRY(tar.add({.name = "oci-layout"}, R"({"imageLayoutVersion":"1.0.0"})"));
  TRY(tar.add({.name = "index.json"}, spec::make_index(images)));
  TRY(tar.add({.name = "manifest.json"}, spec::make_docker_manifest(images)));
  // Unpackers of ordinary users fail in directories that they have to make up.
  for (const char* directory : {"blobs/", "blobs/sha256/"})
    TRY(tar.add({.name = directory, .type = files::TarType::kDirectory, .mode = 0755}));
  for (const auto& [digest, size] : blobs) {
    const std::string member = member_of(digest);
    const Result<Fd> file = open_fd(runtime.path(member), O_RDONLY | O_NOFOLLOW);
    if (!file)
      return make_error(Code::kDataLoss, "blob_missing",
                        format("save images: blob '{}' is missing", digest),
                        "caisson image fsck tells what is missing; pull the image again");
    Sha256 hash;
    const std::uint64_t written =
        TRY(tar.add_file({.name = member, .size = size}, file->get(),
                         [&](std::string_view piece) { hash.update(piece); }));
    if (written < size)
      return make_error(Code::kDataLoss, "blob_missing",
                        format("save images: blob '{}' is too short", digest));
    if (hash.hex() != spec::hex_of(digest))
      return make_error(Code::kDataLoss, "digest_mismatch",
                        format("save images: blob '{}' has changed on disk", digest),
                        "rmi, prune --grace 0s and a new pull mend it");
  }
  return tar.finish();
}

}  // namespace caisson
