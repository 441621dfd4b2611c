#include "fetch/placed.h"

#include "spec/oci.h"

namespace caisson::fetch {

Result<> place_layer(image::UnpackRequest& request) {
  std::vector<std::string> diff_ids = request.below;
  diff_ids.push_back(request.layer.diff_id);
  std::vector<std::string> chains = spec::chain_ids(diff_ids);
  if (!request.layer.parents.empty() || chains.size() > image::kMaxLayers ||
      chains.back() != request.layer.chain_id)
    return make_error(Code::kInternal, "protocol_error",
                      format("unpack layer '{}': it does not belong on what it is to be put on",
                             request.layer.digest));
  chains.pop_back();
  request.layer.parents.assign(chains.rbegin(), chains.rend());
  return {};
}

}  // namespace caisson::fetch
