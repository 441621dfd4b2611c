// Which of an index's images is the one.
#include <algorithm>

#include "spec/oci.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

constexpr std::size_t kMostListed = 20;

bool may_be_image(const Descriptor& descriptor) {
  const std::string& type = descriptor.media_type;
  const bool document = type.empty() || type.find(".manifest.") != std::string::npos ||
                        type.find(".index.") != std::string::npos;
  // Attestations (what a build has to say about itself) come as images of this platform.
  return document && !(descriptor.platform && descriptor.platform->os == "unknown");
}

Error not_found(const IndexDoc& index, const Platform& wanted) {
  std::vector<std::string> there;
  for (const Descriptor& descriptor : index.manifests) {
    if (!may_be_image(descriptor) || !descriptor.platform) continue;
    std::string name = quote(to_string(*descriptor.platform));
    if (std::ranges::count(there, name) > 0) continue;
    there.push_back(there.size() < kMostListed ? std::move(name) : "...");
    if (there.size() > kMostListed) break;
  }
  return make_error(Code::kNotFound, "platform_not_found",
                    format("choose image for platform '{}': the index has none", to_string(wanted)),
                    there.empty() ? "" : format("there are: {}", join(there, ", ")));
}

}  // namespace

Result<Descriptor> choose_platform(const IndexDoc& index, const Platform& wanted) {
  const Descriptor* fitting = nullptr;
  const Descriptor* silent = nullptr;  // says nothing about its platform
  std::size_t silent_ones = 0;
  for (const Descriptor& descriptor : index.manifests) {
    if (!may_be_image(descriptor)) continue;
    if (!descriptor.platform) {
      silent = &descriptor;
      ++silent_ones;
    } else if (*descriptor.platform == wanted) {
      return descriptor;
    } else if (fitting == nullptr && fits(wanted, *descriptor.platform)) {
      fitting = &descriptor;
    }
  }
  if (fitting != nullptr) return *fitting;
  // A layout of one image often does not say for which platform; its configuration does.
  if (silent_ones == 1) return *silent;
  return not_found(index, wanted);
}

}  // namespace caisson::spec
