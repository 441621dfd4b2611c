// Images' inside.
#pragma once

#include <set>

#include "caisson/image.h"
#include "engine/box_impl.h"
#include "engine/pull_impl.h"

namespace caisson {

class Images::Impl final {
 public:
  explicit Impl(std::shared_ptr<const Runtime::Impl> runtime) : runtime(std::move(runtime)) {}
  const std::shared_ptr<const Runtime::Impl> runtime;  ///< shared: it may outlive the Runtime
};

}  // namespace caisson

namespace caisson::engine {

/// What a reference means.
struct FoundImage {
  store::ImageRow row;
  std::string name;  ///< canonical, when it was found by its name; else empty
};
/// Errors: `reference_invalid`, `image_not_found`, `image_ambiguous`.
Result<FoundImage> find_image(const Runtime::Impl& runtime, std::string_view reference);

/// Removes from the disk what no image names any more: what `candidates` (digests) lists at once,
/// everything else when it is older than `grace` (absent: never). Returns the bytes freed.
struct Collection {
  std::set<std::string> candidates;
  std::optional<std::chrono::nanoseconds> grace;
};
Result<std::uint64_t> collect_garbage(const Runtime::Impl& runtime, const Collection& what);
/// The digests of all that an image is made of.
std::set<std::string> parts_of(const store::ImageRow& row);

/// Bytes on disk of a tree, as far as it can be looked into.
std::uint64_t tree_bytes(const std::string& path);

/// What an image gives to a box that is being made.
struct BoxImage {
  BoxSpec spec;  ///< filled in
  std::string id, rootfs_json;
};
/// Pulls if need be.
Result<BoxImage> take_image(const std::shared_ptr<const Runtime::Impl>& runtime,
                            const BoxSpec& spec);
/// What the record of a box of this image says of its root.
Result<std::string> rootfs_json_of(const Runtime::Impl& runtime, const store::ImageRow& image,
                                   RootfsStrategy strategy);
/// The root of a box that has an image. Errors: `state_corrupt`.
Result<Rootfs> rootfs_of(const Runtime::Impl& runtime, const store::BoxRow& row);
/// The image as an ext4, made when there is none yet: the file's path.
Result<std::string> disk_of(const Runtime::Impl& runtime, const std::string& image_id,
                            const Rootfs& layers);
/// Why the use of an image may have failed: `image_damaged` when a layer is missing, else absent.
std::optional<Error> missing_layer(const Rootfs& rootfs);

}  // namespace caisson::engine
