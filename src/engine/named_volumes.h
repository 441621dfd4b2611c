// Named volumes: rows of the state, and a directory for each (docs/formats/home.md).
#pragma once

#include <string>

#include "caisson/spec.h"
#include "engine/home.h"

namespace caisson::engine {

/// What a new box of this spec uses.
Result<store::BoxVolumes> volumes_of(const BoxSpec& spec);

/// The directory of a volume: absolute, without symbolic links, and made if it is not there yet.
/// `volume_not_found`, `volume_size_unsupported`.
Result<std::string> volume_path(const Runtime::Impl& runtime, std::string_view name);

/// The spec as a shim takes it: with bind mounts of directories instead of volumes.
Result<BoxSpec> with_volume_paths(const Runtime::Impl& runtime, BoxSpec spec);
/// The same to look at: makes nothing, and a volume need not be there.
Result<BoxSpec> with_planned_volumes(const Runtime::Impl& runtime, BoxSpec spec);

}  // namespace caisson::engine
