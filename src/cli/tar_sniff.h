// What kind of image archive a tar file is, seen from the names in it.
#pragma once

#include <string>

#include "caisson/result.h"

namespace caisson::cli {

enum class ArchiveKind { kOci, kDocker };

/// Reads the headers of the tar file at `fd` from its beginning, not the contents (it is seeked).
/// A member `oci-layout` makes it an OCI archive, also when it is a docker archive besides;
/// `manifest.json` makes it a docker archive. `path` is for messages. Error: `archive_unknown`.
Result<ArchiveKind> sniff_archive(int fd, const std::string& path);

}  // namespace caisson::cli
