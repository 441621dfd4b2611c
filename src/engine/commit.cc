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
  // The way of every image: what is packed is checked and unpacked like what comes from elsewhere.
  std::string id = TRY(engine::take_nameless(impl_->runtime, "oci:" + TRY(layout.place()), {}));
  if (!name.empty())
    TRY(Images(std::make_shared<const Images::Impl>(impl_->runtime)).tag(id, name));
  impl_->runtime->audit.add("box_committed", impl_->id,
                            {{"image", id}, {"name", std::string(name)}});
  return id;
}

}  // namespace caisson
