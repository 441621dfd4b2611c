// An image's root as a disk: made by the shim program, which knows how to have the ids of boxes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/images_impl.h"
#include "image/disk_image.h"
#include "spec/image_ref.h"

namespace caisson {

Result<std::string> engine::disk_of(const Runtime::Impl& runtime, const std::string& image_id,
                                    const Rootfs& layers) {
  const std::string folder = runtime.path("disks");
  if (::mkdir(folder.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", folder);
  backend::DiskRequest request;
  request.directory = folder;
  request.name = std::string(spec::hex_of(image_id)) + ".ext4";
  request.digest = image_id;
  request.lower_parent = layers.lower_parent;
  request.lowers = layers.lowers;
  std::string path = folder + "/" + request.name;
  if (::access(path.c_str(), R_OK) == 0) return path;
  if (Result<> made = engine::ask_shim(runtime, request); !made) {
    return with_context(engine::missing_layer(layers).value_or(made.error()), "make disk of image");
  }
  return path;
}

Result<std::string> Images::disk(std::string_view reference) {
  const Runtime::Impl& runtime = *impl_->runtime;
  const engine::FoundImage found = TRY(engine::find_image(runtime, reference));
  if (found.row.layers.empty())
    return make_error(Code::kInvalidArgument, "image_empty",
                      format("make disk of image '{}': the image has no layer", reference));
  Rootfs layers{.lower_parent = runtime.path("layers")};
  for (const store::LayerRow& layer : found.row.layers)
    layers.lowers.emplace(layers.lowers.begin(), spec::hex_of(layer.chain_id));
  Result<std::string> path = engine::disk_of(runtime, found.row.id, layers);
  if (!path) return with_context(std::move(path).error(), format("image '{}'", reference));
  return path;
}

Result<> Images::disk_overlay(std::string_view reference, const std::string& path) {
  return image::make_qcow2_overlay(TRY(disk(reference)), path);
}

}  // namespace caisson
