// Looking at everything that images are made of.
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "engine/images_impl.h"

namespace caisson {
namespace {

using engine::FetchDirectories;
using engine::FetchProcess;
using engine::Staging;

/// What is to be looked at, each thing once however many images have it.
struct Inventory {
  std::map<std::string, std::uint64_t> blobs;        ///< documents and layers
  std::map<std::string, image::VerifyLayer> layers;  ///< by chain id
};

Inventory take_inventory(const std::vector<store::ImageRow>& rows) {
  Inventory all;
  for (const store::ImageRow& row : rows) {
    for (const store::BlobRow& blob : row.blobs) all.blobs[blob.digest] = blob.size;
    std::vector<std::string> parents;
    for (const store::LayerRow& layer : row.layers) {
      all.layers[layer.chain_id] = {layer.digest,     layer.diff_id, layer.chain_id,
                                    layer.media_type, layer.size,    parents};
      parents.insert(parents.begin(), layer.chain_id);
    }
  }
  return all;
}

/// Somewhat more than it takes as JSON.
std::size_t size_of(const image::VerifyLayer& layer) { return 512 + 80 * layer.parents.size(); }

class Checker final {
 public:
  explicit Checker(const Runtime::Impl& runtime) : runtime_(runtime) {}

  Result<FsckReport> run() {
    const std::vector<store::ImageRow> rows = TRY(runtime_.images.list());
    const Inventory all = take_inventory(rows);
    report_.images = rows.size();
    report_.blobs = all.blobs.size();
    report_.layers = all.layers.size();
    std::set<std::string> documents;
    for (const store::ImageRow& row : rows) check_documents(row, documents);
    for (const auto& [digest, size] : all.blobs)
      if (!documents.contains(digest)) check_size(digest, size);
    TRY(check_layers(all));
    return std::move(report_);
  }

 private:
  void problem(std::string object, std::string text) {
    report_.problems.push_back({std::move(object), std::move(text)});
  }

  /// Those that are no layers: they are hashed here.
  void check_documents(const store::ImageRow& row, std::set<std::string>& seen) {
    std::set<std::string> layers;
    for (const store::LayerRow& layer : row.layers) layers.insert(layer.digest);
    for (const store::BlobRow& blob : row.blobs) {
      if (layers.contains(blob.digest) || !seen.insert(blob.digest).second) continue;
      const Result<std::string> text = engine::read_document(runtime_, blob.digest);
      if (!text) problem("blob " + blob.digest, text.error().message);
    }
  }

  void check_size(const std::string& digest, std::uint64_t size) {
    struct stat info{};
    const std::string path = runtime_.path(format("blobs/sha256/{}", spec::hex_of(digest)));
    if (::lstat(path.c_str(), &info) < 0) {
      problem("blob " + digest, errno_text(errno));
      bad_blobs_.insert(digest);
    } else if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) != size) {
      problem("blob " + digest, format("has {} bytes instead of {}", info.st_size, size));
      bad_blobs_.insert(digest);
    }
  }

  bool is_there(const std::string& chain_id) {
    struct stat info{};
    const std::string path = runtime_.path(format("layers/{}", spec::hex_of(chain_id)));
    if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return true;
    return false;
  }

  Result<> check_layers(const Inventory& all) {
    std::set<std::string> missing;
    for (const auto& [chain_id, layer] : all.layers)
      if (!is_there(chain_id)) {
        missing.insert(chain_id);
        problem("layer " + chain_id, "the tree is missing");
      }
    std::vector<image::VerifyLayer> batch;
    std::size_t size = 0;
    for (const auto& [chain_id, layer] : all.layers) {
      const bool whole = !bad_blobs_.contains(layer.digest) && !missing.contains(chain_id) &&
                         std::ranges::none_of(layer.parents, [&](const std::string& parent) {
                           return missing.contains(parent);
                         });
      if (!whole) continue;
      if (!batch.empty() && size + size_of(layer) > image::kMaxMessage - 1024) {
        TRY(verify(std::move(batch)));
        batch.clear();
        size = 0;
      }
      size += size_of(layer);
      batch.push_back(layer);
    }
    return batch.empty() ? Result<>() : verify(std::move(batch));
  }

  Result<> verify(std::vector<image::VerifyLayer> layers) {
    const FetchDirectories directories = TRY(engine::open_fetch_directories(runtime_));
    const Staging staging = TRY(Staging::make(runtime_));
    std::set<std::string> waiting;
    for (const image::VerifyLayer& layer : layers) waiting.insert(layer.chain_id);
    FetchProcess process =
        TRY(FetchProcess::start(runtime_, image::VerifyRequest{staging.id(), std::move(layers)},
                                directories.numbers(), staging.lock()));
    for (;;) {
      const std::optional<image::FetchMessage> message = TRY(process.receive({}));
      if (!message || std::holds_alternative<image::FetchDone>(*message)) break;
      if (const auto* error = std::get_if<Error>(&*message)) return *error;
      if (const auto* ready = std::get_if<image::LayerReady>(&*message)) {
        waiting.erase(ready->chain_id);
        if (!ready->problem.empty()) problem("layer " + ready->chain_id, ready->problem);
      }
    }
    TRY(process.finish(in(std::chrono::seconds(30))));
    for (const std::string& chain_id : waiting) problem("layer " + chain_id, "was not looked at");
    return {};
  }

  const Runtime::Impl& runtime_;
  FsckReport report_;
  std::set<std::string> bad_blobs_;
};

}  // namespace

Result<FsckReport> Images::fsck() { return Checker(*impl_->runtime).run(); }

}  // namespace caisson
