// From an image to a box.
#include <sys/stat.h>
#include <unistd.h>

#include "engine/image_config.h"
#include "engine/images_impl.h"
#include "spec/state_json.h"

namespace caisson::engine {
namespace {

/// Only who says "load" or "pull" gives names away.
Result<std::string> take(const std::shared_ptr<const Runtime::Impl>& runtime, PullPlan plan,
                         const std::string& source) {
  plan.take_names = false;
  std::unique_ptr<Pull::Impl> pull = TRY(Pull::Impl::create(runtime, std::move(plan)));
  std::vector<std::string> ids = TRY(pull->finish({}));
  if (ids.empty())
    return make_error(Code::kInternal, "fetch_died",
                      format("pull image '{}': caisson-fetch brought none", source));
  return std::move(ids.front());
}

Result<std::string> image_id(const std::shared_ptr<const Runtime::Impl>& runtime,
                             const BoxSpec& spec) {
  // A bare word may be the beginning of an id, as in docker run; a name is looked for first.
  if (spec.pull != PullPolicy::kAlways && spec.platform.empty() &&
      spec.source.find('/') == std::string::npos) {
    Result<FoundImage> found = find_image(*runtime, spec.source);
    if (found && found->name.empty()) return std::move(found->row.id);
  }
  PullPlan plan = TRY(
      plan_pull(*runtime, {.source = spec.source, .platform = spec.platform, .policy = spec.pull}));
  if (!plan.known.empty()) return std::move(plan.known);
  return take(runtime, std::move(plan), spec.source);
}

Rootfs rootfs_of_image(const store::ImageRow& row, const ImageConfig& config,
                       RootfsStrategy strategy) {
  Rootfs rootfs;
  for (auto layer = row.layers.rbegin(); layer != row.layers.rend(); ++layer)
    rootfs.lowers.emplace_back(spec::hex_of(layer->chain_id));
  rootfs.strategy = strategy;
  rootfs.volumes = plain_volumes(config.volumes);
  return rootfs;
}

}  // namespace

Result<std::string> take_nameless(const std::shared_ptr<const Runtime::Impl>& runtime,
                                  const std::string& source, const std::string& platform) {
  return take(runtime, TRY(plan_pull(*runtime, {.source = source, .platform = platform})), source);
}

Result<BoxImage> take_image(const std::shared_ptr<const Runtime::Impl>& runtime,
                            const BoxSpec& spec) {
  const std::string id = TRY(image_id(runtime, spec));
  const std::optional<store::ImageRow> row = TRY(runtime->images.find(id));
  if (!row)
    return make_error(Code::kNotFound, "image_not_found",
                      format("create box: image '{}' has just been removed", id));
  if (row->layers.empty())
    return make_error(Code::kInvalidArgument, "image_empty",
                      format("create box from '{}': the image has no layer", spec.source));
  const spec::ConfigDoc config =
      TRY(spec::parse_config(TRY(read_document(*runtime, row->config_digest))));
  BoxImage image;
  image.spec = TRY(with_image(spec, config.config));
  image.spec.platform = spec::to_string({row->os, row->architecture, row->variant});
  image.id = row->id;
  image.rootfs_json = spec::to_json(rootfs_of_image(*row, config.config, spec.rootfs));
  return image;
}

Result<std::string> rootfs_json_of(const Runtime::Impl& runtime, const store::ImageRow& image,
                                   RootfsStrategy strategy) {
  const spec::ConfigDoc config =
      TRY(spec::parse_config(TRY(read_document(runtime, image.config_digest))));
  return spec::to_json(rootfs_of_image(image, config.config, strategy));
}

Result<Rootfs> rootfs_of(const Runtime::Impl& runtime, const store::BoxRow& row) {
  Result<Rootfs> rootfs = spec::rootfs_from_state(row.rootfs_json);
  if (!rootfs)
    return make_error(
        Code::kDataLoss, "state_corrupt",
        format("read record of box '{}': column 'rootfs_json': {}", row.id, rootfs.error().message),
        format("caisson rm -f {} removes the box", row.id));
  rootfs->lower_parent = runtime.path("layers");
  return rootfs;
}

std::optional<Error> missing_layer(const Rootfs& rootfs) {
  for (const std::string& lower : rootfs.lowers) {
    const std::string path = lower_path(rootfs, lower);
    if (::access(path.c_str(), F_OK) == 0) continue;
    return make_error(Code::kDataLoss, "image_damaged",
                      format("open layer '{}' of the image: it is missing", lower),
                      "caisson image fsck tells what is damaged; pull the image again");
  }
  return std::nullopt;
}

}  // namespace caisson::engine
