#include "engine/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/sha256.h"
#include "engine/images_impl.h"
#include "spec/image_ref.h"
#include "sys/tree.h"

namespace caisson::engine {
namespace {

Error mismatch(const image::ImageReady& ready, std::string_view cause) {
  return make_error(Code::kDataLoss, "image_mismatch",
                    format("publish image '{}': {}", ready.manifest_digest, cause));
}

/// Somebody removed it while we thought that we need not fetch it.
Error vanished(std::string_view image, std::string_view what, std::string_view digest) {
  return make_error(
      Code::kAborted, "image_vanished",
      format("publish image '{}': {} '{}' has been removed by somebody else", image, what, digest),
      "pull it again");
}

std::string blob_path(std::string_view digest) {
  return format("blobs/sha256/{}", spec::hex_of(digest));
}

bool is_file_of_size(const std::string& path, std::uint64_t size) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<std::uint64_t>(info.st_size) == size;
}

bool is_directory(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Present present_in(const Runtime::Impl& runtime) {
  return {.tree =
              [&runtime](std::string_view chain_id) {
                return is_directory(runtime.path(format("layers/{}", spec::hex_of(chain_id))));
              },
          .blob =
              [&runtime](std::string_view digest, std::uint64_t size) {
                return is_file_of_size(runtime.path(blob_path(digest)), size);
              }};
}

const image::LayerReady* find_ready(const std::vector<image::LayerReady>& layers,
                                    const store::LayerRow& wanted, bool tree) {
  const auto found = std::ranges::find_if(layers, [&](const image::LayerReady& ready) {
    if (ready.digest != wanted.digest || ready.size != wanted.size) return false;
    if (!tree) return true;
    return ready.unpacked && ready.problem.empty() && ready.diff_id == wanted.diff_id &&
           ready.chain_id == wanted.chain_id;
  });
  return found == layers.end() ? nullptr : &*found;
}

void add_blob(store::ImageRow& row, const std::string& digest, std::uint64_t size) {
  const auto same = [&](const store::BlobRow& blob) { return blob.digest == digest; };
  if (std::ranges::none_of(row.blobs, same)) row.blobs.push_back({digest, size});
}

Result<> prove_layers(store::ImageRow& row, const image::ImageReady& ready,
                      const std::vector<image::LayerReady>& layers, const Present& present) {
  for (store::LayerRow& layer : row.layers) {
    const image::LayerReady* const tree = find_ready(layers, layer, true);
    if (tree != nullptr)
      layer.disk_bytes = tree->disk_bytes;
    else if (!present.tree(layer.chain_id))
      return vanished(ready.manifest_digest, "layer", layer.chain_id);
    if (find_ready(layers, layer, false) == nullptr && !present.blob(layer.digest, layer.size))
      return vanished(ready.manifest_digest, "blob", layer.digest);
    add_blob(row, layer.digest, layer.size);
  }
  return {};
}

}  // namespace

Result<store::ImageRow> prove(const image::ImageReady& ready, const Documents& documents,
                              const std::vector<image::LayerReady>& layers,
                              const Present& present) {
  const auto parsed = TRY(spec::parse_manifest(documents.manifest, ""));
  const auto* const manifest = std::get_if<spec::ManifestDoc>(&parsed);
  if (manifest == nullptr) return mismatch(ready, "its document is an index");
  if (manifest->config.digest != ready.config_digest ||
      manifest->config.size != documents.config.size())
    return mismatch(ready, "its manifest names another configuration");
  const spec::ConfigDoc config = TRY(spec::parse_config(documents.config));
  if (config.diff_ids.size() != manifest->layers.size())
    return mismatch(ready, format("its manifest has {} layers, its configuration {}",
                                  manifest->layers.size(), config.diff_ids.size()));
  store::ImageRow row;
  row.id = ready.manifest_digest;
  row.config_digest = ready.config_digest;
  row.os = config.platform.os;
  row.architecture = config.platform.architecture;
  row.variant = config.platform.variant;
  row.created = config.created;
  row.pulled_ns = row.used_ns = wall_ns();
  row.names = ready.names;
  const std::vector<std::string> chains = spec::chain_ids(config.diff_ids);
  for (std::size_t i = 0; i < chains.size(); ++i) {
    const spec::Descriptor& layer = manifest->layers[i];
    row.layers.push_back({.chain_id = chains[i],
                          .digest = layer.digest,
                          .diff_id = config.diff_ids[i],
                          .media_type = layer.media_type,
                          .size = layer.size});
  }
  TRY(prove_layers(row, ready, layers, present));
  add_blob(row, ready.manifest_digest, documents.manifest.size());
  add_blob(row, ready.config_digest, documents.config.size());
  for (std::size_t i = 0; i < documents.indexes.size(); ++i)
    add_blob(row, ready.index_digests[i], documents.indexes[i].size());
  return row;
}

Result<> prove_digest(const std::string& asked, const image::ImageReady& ready,
                      const Documents& documents) {
  std::string at = asked;
  for (std::size_t i = 0; i < ready.index_digests.size(); ++i) {
    if (ready.index_digests[i] != at) break;
    const auto parsed = TRY(spec::parse_manifest(documents.indexes[i], ""));
    const auto* const index = std::get_if<spec::IndexDoc>(&parsed);
    const std::string& next =
        i + 1 < ready.index_digests.size() ? ready.index_digests[i + 1] : ready.manifest_digest;
    const auto leads = [&](const spec::Descriptor& entry) { return entry.digest == next; };
    if (index == nullptr || std::ranges::none_of(index->manifests, leads)) break;
    at = next;
  }
  if (at == ready.manifest_digest) return {};
  return mismatch(ready, format("it is not what '{}' leads to", asked));
}

Result<std::string> read_document(const Runtime::Impl& runtime, std::string_view digest,
                                  bool also_partial) {
  if (!spec::is_digest(digest))
    return make_error(Code::kDataLoss, "digest_mismatch",
                      format("read document '{}': that is no digest", digest));
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  const std::string published = runtime.path(blob_path(digest));
  const std::string partial = runtime.path(format("fetch/partial/{}", spec::hex_of(digest)));
  Result<Fd> file = open_fd(published, kFlags);
  if (!file && also_partial) file = open_fd(partial, kFlags);
  if (!file) {
    Error error = with_context(file.error(), format("read document '{}'", digest));
    if (error.sys_errno == ENOENT) error.reason = "blob_missing";
    error.hint = "caisson image fsck tells what is missing; pull the image again";
    return error;
  }
  std::string text = TRY(read_all(file->get(), image::kMaxDocument, digest));
  if (also_partial && sha256_hex(text) != spec::hex_of(digest)) {
    // The published one is damaged; the source has then brought another, which takes its place.
    if (Result<Fd> fresh = open_fd(partial, kFlags)) {
      text = TRY(read_all(fresh->get(), image::kMaxDocument, digest));
      if (sha256_hex(text) == spec::hex_of(digest)) ::unlink(published.c_str());
    }
  }
  if (sha256_hex(text) == spec::hex_of(digest)) return text;
  return make_error(Code::kDataLoss, "digest_mismatch",
                    format("read document '{}': it has another digest", digest),
                    "caisson image fsck tells what is damaged; pull the image again");
}

namespace {

/// From now on nobody but us can change it.
Result<> move_blob(const Runtime::Impl& runtime, const store::BlobRow& blob) {
  const std::string to = runtime.path(blob_path(blob.digest));
  const std::string from = runtime.path(format("fetch/partial/{}", spec::hex_of(blob.digest)));
  if (is_file_of_size(to, blob.size)) {
    ::unlink(from.c_str());
    return {};
  }
  const Result<Fd> file = open_fd(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) return file.error().sys_errno == ENOENT ? Result<>() : file.error();
  struct stat info{};
  if (::fstat(file->get(), &info) < 0) return sys_error("inspect blob", from);
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 ||
      static_cast<std::uint64_t>(info.st_size) != blob.size)
    return make_error(
        Code::kDataLoss, "image_mismatch",
        format("publish blob '{}': it is not the file that was looked at", blob.digest));
  // Readable at every moment: another pull may be about to take it up. Once more in the end,
  // because its first owner could have set the mode too.
  if (::fchmod(file->get(), 0444) < 0) return sys_error("set mode of", from);
  if (::geteuid() == 0 && ::fchown(file->get(), 0, 0) < 0) return sys_error("set owner of", from);
  if (::fchmod(file->get(), 0444) < 0) return sys_error("set mode of", from);
  if (::rename(from.c_str(), to.c_str()) < 0 && errno != ENOENT)
    return sys_error("move blob to", to);
  return {};
}

/// Names what is missing.
Result<> look(const Present& present, const store::ImageRow& row) {
  for (const store::BlobRow& blob : row.blobs)
    if (!present.blob(blob.digest, blob.size)) return vanished(row.id, "blob", blob.digest);
  for (const store::LayerRow& layer : row.layers)
    if (!present.tree(layer.chain_id)) return vanished(row.id, "layer", layer.chain_id);
  return {};
}

Result<Documents> read_documents(const Runtime::Impl& runtime, const image::ImageReady& ready) {
  Documents documents;
  documents.manifest = TRY(read_document(runtime, ready.manifest_digest, true));
  documents.config = TRY(read_document(runtime, ready.config_digest, true));
  for (const std::string& digest : ready.index_digests)
    documents.indexes.push_back(TRY(read_document(runtime, digest, true)));
  return documents;
}

Result<> move_into_place(const Runtime::Impl& runtime, const Fetched& fetched,
                         const store::ImageRow& row, const std::string& staging_id) {
  for (const store::LayerRow& layer : row.layers) {
    const std::string hex(spec::hex_of(layer.chain_id));
    const std::string from = runtime.path(format("fetch/staging/{}/{}", staging_id, hex));
    if (find_ready(fetched.layers, layer, true) != nullptr && is_directory(from))
      TRY(sys::move_tree(from, runtime.path("layers/" + hex)));
  }
  for (const store::BlobRow& blob : row.blobs) TRY(move_blob(runtime, blob));
  return {};
}

Result<std::uint64_t> known_bytes(const Runtime::Impl& runtime, const std::string& chain_id) {
  const std::optional<std::uint64_t> known = TRY(runtime.images.disk_bytes(chain_id));
  // Left by a pull that was killed before its rows were written.
  return known ? *known : tree_bytes(runtime.path(format("layers/{}", spec::hex_of(chain_id))));
}

}  // namespace

Result<std::vector<std::string>> publish(const Runtime::Impl& runtime, const Fetched& fetched,
                                         const std::string& staging_id) {
  const Present present = present_in(runtime);
  std::vector<store::ImageRow> rows;
  for (const image::ImageReady& ready : fetched.images) {
    const Documents documents = TRY(read_documents(runtime, ready));
    if (!fetched.digest.empty()) TRY(prove_digest(fetched.digest, ready, documents));
    rows.push_back(TRY(prove(ready, documents, fetched.layers, present)));
  }
  std::vector<std::string> ids;
  for (store::ImageRow& row : rows) {
    for (store::LayerRow& layer : row.layers)
      if (layer.disk_bytes == 0) layer.disk_bytes = TRY(known_bytes(runtime, layer.chain_id));
    TRY(move_into_place(runtime, fetched, row, staging_id));
    ids.push_back(row.id);
  }
  TRY(runtime.images.publish(rows, [&]() -> Result<> {
    for (const store::ImageRow& row : rows) TRY(look(present, row));
    return {};
  }));
  return ids;
}

}  // namespace caisson::engine
