#include "fetch/resolve.h"

#include <algorithm>

#include "base/sha256.h"

namespace caisson::fetch {
namespace {

constexpr int kDeepestIndex = 3;  // an index in an index in an index

class Resolver final {
 public:
  Resolver(Origin& origin, const BlobStore& store, const image::PullRequest& request)
      : origin_(origin), store_(store), request_(request) {}

  Result<ResolvedImage> run(WantedImage wanted) {
    image_.ready.names = std::move(wanted.names);
    const spec::ManifestDoc manifest = TRY(find_manifest(std::move(wanted.top)));
    image_.ready.config_digest = manifest.config.digest;
    const spec::ConfigDoc config = TRY(read_config(manifest.config));
    TRY(check_platform(config));
    TRY(name_layers(manifest, config));
    return std::move(image_);
  }

 private:
  spec::Platform wanted() const { return {request_.os, request_.architecture, request_.variant}; }
  Error refused(Code code, std::string_view reason, std::string cause) const {
    return make_error(code, reason, format("pull '{}': {}", request_.reference, cause));
  }

  Result<spec::ManifestDoc> find_manifest(Document document) {
    std::string digest = "sha256:" + sha256_hex(document.text);
    if (!request_.digest.empty() && digest != request_.digest)
      return refused(Code::kDataLoss, "manifest_digest_mismatch",
                     format("the manifest has digest {}", digest));
    for (int depth = 0;; ++depth) {
      auto parsed = spec::parse_manifest(document.text, document.media_type);
      if (!parsed) return with_context(parsed.error(), format("pull '{}'", request_.reference));
      TRY(store_.keep_document(digest, document.text));
      if (auto* manifest = std::get_if<spec::ManifestDoc>(&*parsed)) {
        image_.ready.manifest_digest = digest;
        return std::move(*manifest);
      }
      if (depth == kDeepestIndex || std::ranges::count(image_.ready.index_digests, digest) > 0)
        return refused(Code::kInvalidArgument, "manifest_loop",
                       "its index holds an index, and so on");
      image_.ready.index_digests.push_back(digest);
      const spec::Descriptor chosen =
          TRY(spec::choose_platform(std::get<spec::IndexDoc>(*parsed), wanted()));
      document = TRY(proved(chosen));
      digest = chosen.digest;
    }
  }

  Result<Document> proved(const spec::Descriptor& descriptor) {
    if (std::optional<std::string> known = store_.document(descriptor.digest))
      return Document{std::move(*known), descriptor.media_type};
    Document document = TRY(origin_.document(descriptor));
    if (document.text.size() != descriptor.size)
      return refused(Code::kDataLoss, "manifest_size_mismatch",
                     format("manifest {} has {} bytes, not {}", descriptor.digest,
                            document.text.size(), descriptor.size));
    if (sha256_hex(document.text) != spec::hex_of(descriptor.digest))
      return refused(Code::kDataLoss, "manifest_digest_mismatch",
                     format("what came as manifest {} is another", descriptor.digest));
    return document;
  }

  Result<spec::ConfigDoc> read_config(const spec::Descriptor& descriptor) {
    std::optional<std::string> text = store_.document(descriptor.digest);
    if (!text) {
      if (descriptor.size > image::kMaxDocument)
        return refused(
            Code::kResourceExhausted, "manifest_too_large",
            format("the configuration {} has {} bytes", descriptor.digest, descriptor.size));
      text = TRY(origin_.small_blob(descriptor));
      if (text->size() != descriptor.size || sha256_hex(*text) != spec::hex_of(descriptor.digest))
        return refused(Code::kDataLoss, "config_digest_mismatch",
                       format("what came as configuration {} is another", descriptor.digest));
      TRY(store_.keep_document(descriptor.digest, *text));
    }
    auto config = spec::parse_config(*text);
    if (!config) return with_context(config.error(), format("pull '{}'", request_.reference));
    return std::move(*config);
  }

  /// An index chooses; an image of one platform is taken as it is unless a platform was asked for.
  Result<> check_platform(const spec::ConfigDoc& config) const {
    if (!request_.platform_asked || spec::fits(wanted(), config.platform)) return {};
    return refused(Code::kNotFound, "platform_not_found",
                   format("it is for {}, not {}", spec::to_string(config.platform),
                          spec::to_string(wanted())));
  }

  Result<> name_layers(const spec::ManifestDoc& manifest, const spec::ConfigDoc& config) {
    if (manifest.layers.size() != config.diff_ids.size())
      return refused(Code::kInvalidArgument, "config_invalid",
                     format("the manifest has {} layers, the configuration {}",
                            manifest.layers.size(), config.diff_ids.size()));
    if (manifest.layers.size() > image::kMaxLayers)
      return refused(
          Code::kResourceExhausted, "too_many_layers",
          format("it has {} layers, {} are allowed", manifest.layers.size(), image::kMaxLayers));
    const std::vector<std::string> chains = spec::chain_ids(config.diff_ids);
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
      TRY(spec::layer_compression(manifest.layers[i].media_type));
      image_.layers.push_back({manifest.layers[i], config.diff_ids[i], chains[i]});
    }
    return {};
  }

  Origin& origin_;
  const BlobStore& store_;
  const image::PullRequest& request_;
  ResolvedImage image_;
};

}  // namespace

Result<ResolvedImage> resolve_image(Origin& origin, const BlobStore& store, WantedImage wanted,
                                    const image::PullRequest& request) {
  return Resolver(origin, store, request).run(std::move(wanted));
}

}  // namespace caisson::fetch
