// What people are shown of images: names, ids, sources. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "caisson/image.h"

namespace caisson::cli {

/// Whether a box's source is an image: all but `host:` and `dir:PATH` is, or is meant to be.
bool is_image(std::string_view source);
/// Whether it is looked for in a registry, not in a file or directory of this machine.
bool is_registry_image(std::string_view source);

/// `source` with the path of dir:, oci:, oci-archive: and docker-archive: absolute, taken from
/// `directory`; what becomes of links in it the library decides.
std::string absolute_source(std::string source, const std::string& directory);

/// "docker.io/library/alpine:3.20" and "docker://alpine:3.20" as "alpine:3.20".
std::string familiar_name(std::string_view name);
/// {"alpine", "3.20"}; of a name with a digest {"alpine", "sha256:0123456789ab"}.
std::pair<std::string, std::string> name_and_tag(std::string_view name);

/// The first twelve digits of "sha256:…".
std::string short_digest(std::string_view digest);

/// RFC 3339 as nanoseconds since the Unix epoch; absent when it is not that.
std::optional<std::int64_t> parse_time(std::string_view text);

/// Whether a name, familiar or whole, with or without its tag, is what `glob` says (fnmatch(3), '*'
/// stops at '/').
bool name_matches(std::string_view name, const std::string& glob);

/// Bytes that the images take together: what several share counts once.
std::uint64_t total_on_disk(const std::vector<ImageInfo>& images);

}  // namespace caisson::cli
