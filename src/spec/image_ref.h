// Image sources and references, as people write them and in canonical form. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace caisson::spec {

/// A registry reference, grammar of distribution's `reference` package: domain, repository path,
/// tag and digest. `alpine` is docker.io/library/alpine:latest.
struct ImageRef {
  std::string domain;      ///< "docker.io", "127.0.0.1:5000"
  std::string repository;  ///< "library/alpine"
  std::string tag;  ///< "latest" when neither tag nor digest was given; may be empty with a digest
  std::string digest;  ///< "sha256:<64 hex>" or empty
  friend bool operator==(const ImageRef&, const ImageRef&) = default;
};
/// Errors: `reference_invalid`, with what is wrong with it.
Result<ImageRef> parse_image_ref(std::string_view text);
/// "docker.io/library/alpine:3.20", "host:5000/a@sha256:…" (a digest stands for the tag).
std::string canonical(const ImageRef& ref);
/// The shortest text that means the same: without docker.io/ and library/.
std::string familiar(const ImageRef& ref);

/// Only sha256 is known: "sha256:" and 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);
/// The 64 digits.
std::string_view hex_of(std::string_view digest);

enum class SourceType { kHost, kDirectory, kRegistry, kOciDirectory, kOciArchive, kDockerArchive };
struct ImageSource {
  SourceType type = SourceType::kHost;
  std::string
      path;  ///< dir:, oci:, archives: absolute, or as written before the command made it so
  std::string name;  ///< after the path's first colon: TAG or REF inside; may be empty
  ImageRef ref;      ///< kRegistry
  friend bool operator==(const ImageSource&, const ImageSource&) = default;
};
/// `host:`, `dir:PATH`, `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
/// `docker-archive:FILE[:REF]`, or a bare REF. Errors: `source_unknown` (with "did you mean"),
/// `reference_invalid`.
Result<ImageSource> parse_source(std::string_view text);

/// "linux/arm64/v8", "linux/amd64", "arm64" (linux is meant), "amd64" and the machine names
/// x86_64, aarch64. arm64 has variant v8 and arm v7 when none is given. `platform_invalid`.
struct Platform {
  std::string os = "linux", architecture = "amd64", variant;
  friend bool operator==(const Platform&, const Platform&) = default;
};
Result<Platform> parse_platform(std::string_view text);
/// The same for words that a document has: made alike, never refused.
Platform normal_platform(std::string_view os, std::string_view architecture,
                         std::string_view variant);
Platform host_platform();
std::string to_string(const Platform& platform);
/// Whether an image for `offered` runs where `wanted` was asked for (arm64 is arm64/v8; an absent
/// variant fits any).
bool fits(const Platform& wanted, const Platform& offered);

}  // namespace caisson::spec
