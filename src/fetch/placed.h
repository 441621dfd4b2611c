// Where a layer belongs: proved, so that nobody can have it unpacked onto layers that are not its
// own.
#pragma once

#include "image/fetch_protocol.h"

namespace caisson::fetch {

/// Computes from the diff_ids of `request` what its chain id and parents are, and sets the parents.
/// How a tree is finished depends on the layers below it, and the engine believes the chain id.
/// Errors: `protocol_error`.
Result<> place_layer(image::UnpackRequest& request);

}  // namespace caisson::fetch
