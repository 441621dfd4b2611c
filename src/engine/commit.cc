// Images of boxes.
#include <nlohmann/json.hpp>

#include "engine/audit.h"
#include "engine/images_impl.h"
#include "engine/layout.h"
#include "spec/image_ref.h"

namespace caisson {

Result<std::string> Box::commit(std::string_view name, std::string_view comment) {
  if (!name.empty()) TRY(spec::parse_image_ref(name));
  const engine::Layout layout =
      TRY(engine::Layout::make(*this, *impl_, {.comment = std::string(comment)}));
  Images images(std::make_shared<const Images::Impl>(impl_->runtime));
  // The way of every image: what is packed is checked and unpacked like what comes from elsewhere.
  Pull pull = TRY(images.pull({.source = "oci:" + layout.path()}));
  const std::vector<ImageInfo> made = TRY(pull.wait());
  if (made.empty())
    return make_error(Code::kInternal, "fetch_died", "make image: caisson-fetch brought none");
  if (!name.empty()) TRY(images.tag(made.front().id, name));
  impl_->runtime->audit.add("box_committed", impl_->id,
                            {{"image", made.front().id}, {"name", std::string(name)}});
  return made.front().id;
}

}  // namespace caisson
