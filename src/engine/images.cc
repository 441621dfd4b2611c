#include <algorithm>

#include "caisson/image.h"
#include "engine/images_impl.h"

namespace caisson {

using engine::collect_garbage;
using engine::find_image;
using engine::FoundImage;
using engine::parts_of;

namespace engine {

Result<ImageInfo> info_of(const Runtime::Impl& runtime, const store::ImageRow& row) {
  spec::ConfigDoc config = TRY(spec::parse_config(TRY(read_document(runtime, row.config_digest))));
  ImageInfo info;
  info.id = row.id;
  info.config_digest = row.config_digest;
  info.names = row.names;
  info.os = row.os;
  info.architecture = row.architecture;
  info.variant = row.variant;
  info.created = row.created;
  info.pulled_ns = row.pulled_ns;
  info.used_ns = row.used_ns;
  info.config = std::move(config.config);
  info.history = std::move(config.history);
  for (const store::LayerRow& layer : row.layers)
    info.layers.push_back({layer.digest, layer.diff_id, layer.chain_id, layer.media_type,
                           layer.size, layer.disk_bytes});
  const store::ImageUse use = TRY(runtime.images.use(row.id));
  info.size = use.size;
  info.disk_bytes = use.disk_bytes;
  info.own_bytes = use.own_bytes;
  return info;
}

namespace {

Error not_found(std::string_view reference) {
  return make_error(Code::kNotFound, "image_not_found",
                    format("find image '{}': there is none here", reference),
                    "list all images with: caisson images");
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The image whose manifest's or configuration's digest begins so; absent: none, or not such a
/// text.
Result<std::optional<std::string>> id_beginning(const Runtime::Impl& runtime,
                                                std::string_view reference) {
  constexpr std::string_view kAlgorithm = "sha256:";
  std::string_view hex = reference;
  if (hex.starts_with(kAlgorithm)) hex.remove_prefix(kAlgorithm.size());
  if (hex.size() < 4 || hex.size() > 64 || !is_hex(hex)) return std::optional<std::string>();
  std::vector<std::string> ids =
      TRY(runtime.images.beginning(std::string(kAlgorithm) + std::string(hex)));
  if (ids.empty()) return std::optional<std::string>();
  if (ids.size() == 1) return std::optional<std::string>(std::move(ids.front()));
  return make_error(Code::kInvalidArgument, "image_ambiguous",
                    format("find image '{}': several begin so: {}, {}{}", reference, ids[0], ids[1],
                           ids.size() > 2 ? ", …" : ""),
                    "give more of the digest, or the name");
}

}  // namespace

Result<FoundImage> find_image(const Runtime::Impl& runtime, std::string_view reference) {
  const Result<spec::ImageRef> ref = spec::parse_image_ref(reference);
  FoundImage found;
  std::optional<std::string> id;
  if (ref) {
    found.name = spec::canonical(*ref);
    id = TRY(runtime.images.named(found.name));
  }
  if (!id) {
    found.name.clear();
    id = TRY(id_beginning(runtime, reference));
  }
  // "repo@sha256:…" of an image that is here under another name.
  if (!id && ref && !ref->digest.empty()) id = TRY(id_beginning(runtime, ref->digest));
  if (!id && !ref && !spec::is_digest(reference)) return ref.error();
  if (!id) return not_found(reference);
  std::optional<store::ImageRow> row = TRY(runtime.images.find(*id));
  if (!row) return not_found(reference);
  found.row = std::move(*row);
  return found;
}

Result<ImageInfo> info_of_image(const Runtime::Impl& runtime, const std::string& id) {
  const std::optional<store::ImageRow> row = TRY(runtime.images.find(id));
  if (!row) return not_found(id);
  return info_of(runtime, *row);
}

}  // namespace engine

Images::Images(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Images Runtime::images() { return Images(std::make_shared<const Images::Impl>(impl_)); }

Result<Pull> Images::pull(const PullSpec& spec) {
  engine::PullPlan plan = TRY(engine::plan_pull(*impl_->runtime, spec));
  return Pull(TRY(Pull::Impl::create(impl_->runtime, std::move(plan))));
}

Result<std::vector<ImageInfo>> Images::list() {
  std::vector<ImageInfo> infos;
  for (const store::ImageRow& row : TRY(impl_->runtime->images.list()))
    infos.push_back(TRY(engine::info_of(*impl_->runtime, row)));
  return infos;
}

Result<ImageInfo> Images::inspect(std::string_view reference) {
  return engine::info_of(*impl_->runtime, TRY(find_image(*impl_->runtime, reference)).row);
}

Result<> Images::tag(std::string_view reference, std::string_view name) {
  const spec::ImageRef ref = TRY(spec::parse_image_ref(name));
  if (!ref.digest.empty())
    return make_error(Code::kInvalidArgument, "reference_invalid",
                      format("tag image '{}': a name that is given cannot have a digest", name));
  const FoundImage found = TRY(find_image(*impl_->runtime, reference));
  return impl_->runtime->images.tag(found.row.id, spec::canonical(ref));
}

Result<RemovedImages> Images::remove(std::string_view reference,
                                     const RemoveImageOptions& options) {
  const Runtime::Impl& runtime = *impl_->runtime;
  const FoundImage found = TRY(find_image(runtime, reference));
  if (found.name.empty() && found.row.names.size() > 1 && !options.force)
    return make_error(
        Code::kFailedPrecondition, "image_in_use",
        format("remove image '{}': it has {} names", reference, found.row.names.size()),
        "remove them by name, or force the removal");
  const std::vector<std::string> names =
      found.name.empty() ? found.row.names : std::vector{found.name};
  store::ImageState::Removal removal =
      TRY(runtime.images.remove(found.row.id, names, options.force));
  RemovedImages removed{.untagged = std::move(removal.untagged), .deleted = {}};
  if (!removal.deleted) return removed;
  removed.deleted.push_back(found.row.id);
  TRY(collect_garbage(runtime, {.candidates = parts_of(found.row), .grace = {}}));
  return removed;
}

namespace {

struct Pruning {
  PruneReport report;
  std::set<std::string> candidates;

  void took(const store::ImageRow& row) {
    report.deleted.push_back(row.id);
    candidates.merge(parts_of(row));
  }
};

/// What the images take together, what they share counted once.
std::uint64_t bytes_together(const std::vector<store::ImageRow>& rows) {
  std::map<std::string, std::uint64_t> parts;
  for (const store::ImageRow& row : rows) {
    for (const store::BlobRow& blob : row.blobs)
      parts[blob.digest] = (blob.size + 4095) / 4096 * 4096;
    for (const store::LayerRow& layer : row.layers)
      parts["tree " + layer.chain_id] = layer.disk_bytes;
  }
  std::uint64_t sum = 0;
  for (const auto& [digest, bytes] : parts) sum += bytes;
  return sum;
}

/// Those least recently used go until the rest takes at most `low`.
Result<> prune_to_watermark(const Runtime::Impl& runtime, const PruneOptions& options,
                            Pruning& pruning) {
  std::vector<store::ImageRow> rows = TRY(runtime.images.list());
  std::uint64_t bytes = bytes_together(rows);
  if (!options.high || bytes <= *options.high) return {};
  const std::uint64_t low = options.low.value_or(*options.high);
  std::ranges::sort(rows, {}, &store::ImageRow::used_ns);
  for (const store::ImageRow& row : rows) {
    if (bytes <= low) break;
    const std::uint64_t own = TRY(runtime.images.use(row.id)).own_bytes;
    if (!TRY(runtime.images.drop_unused(row.id, true))) continue;
    pruning.took(row);
    bytes -= std::min(bytes, own);
  }
  return {};
}

}  // namespace

Result<PruneReport> Images::prune(const PruneOptions& options) {
  const Runtime::Impl& runtime = *impl_->runtime;
  Pruning pruning;
  for (const store::ImageRow& row : TRY(runtime.images.list()))
    if ((options.all || row.names.empty()) && TRY(runtime.images.drop_unused(row.id, options.all)))
      pruning.took(row);
  TRY(prune_to_watermark(runtime, options, pruning));
  TRY(engine::clear_staging(runtime));
  pruning.report.freed_bytes =
      TRY(collect_garbage(runtime, {std::move(pruning.candidates), options.grace}));
  return std::move(pruning.report);
}

}  // namespace caisson
