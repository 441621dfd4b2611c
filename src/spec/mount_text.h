// Spellings of mounts that the command line and documents share; see parse_mount() and others in
// caisson/spec.h.
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"
#include "caisson/spec.h"

namespace caisson::spec {

/// As parse_volume, but a relative host path stays as it is.
Result<Mount> parse_volume_as_written(std::string_view text);

/// "1777": octal digits, at most 07777.
std::optional<unsigned> parse_octal_mode(std::string_view text);

}  // namespace caisson::spec
