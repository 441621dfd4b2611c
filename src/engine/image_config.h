// What a box takes over from its image. Pure.
#pragma once

#include "base/error.h"
#include "caisson/spec.h"
#include "spec/oci.h"

namespace caisson::engine {

/// `spec` with what it leaves open filled in, as docker does: the command is the entrypoint and the
/// command, variables and labels are added, and PATH is never missing. What the spec says wins.
/// Errors: `command_missing`, `config_invalid`.
Result<BoxSpec> with_image(BoxSpec spec, const ImageConfig& config);

/// The same for a source without a configuration: only the entrypoint is looked at.
BoxSpec with_entrypoint(BoxSpec spec);

/// The image's volumes as plain absolute paths, each once.
std::vector<std::string> plain_volumes(const std::vector<std::string>& volumes);

}  // namespace caisson::engine
