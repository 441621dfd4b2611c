// What the engine and caisson-fetch say to each other (docs/formats/fetch.md): JSON documents over
// a SOCK_SEQPACKET pair, one a message, at most kMaxMessage bytes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "caisson/image.h"

namespace caisson::image {

constexpr int kFetchVersion = 1;
constexpr std::size_t kMaxMessage = 160 << 10;  ///< below net.core.wmem_default
constexpr std::size_t kMaxLayers = 499;         ///< overlayfs takes 500 lower directories
constexpr std::size_t kMaxDocument = 4u << 20;  ///< manifest, index, configuration

/// One place to ask for a repository: a mirror, or the registry itself as the last.
struct Endpoint {
  std::string host;        ///< "registry.example:5000", without scheme
  std::string repository;  ///< as this endpoint names it
  bool plain_http = false;
  bool skip_verify = false;
  std::string ca;  ///< PEM text to trust besides the system's; may be empty
  std::string username, password, identity_token, registry_token;  ///< may be empty
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

enum class SourceKind { kRegistry, kOciDirectory, kOciArchive, kDockerArchive };

/// op "pull". Descriptors: fetch/, blobs/sha256/, layers/, and for all but registries the source
/// itself (a directory or a file, open for reading).
struct PullRequest {
  std::string id;  ///< a ULID: what it unpacks is in fetch/staging/<id>/<hex of chain id>/
  SourceKind kind = SourceKind::kRegistry;
  std::string reference;    ///< for messages: as the user wrote it
  std::string name;         ///< canonical name the image gets; empty: it has none
  std::string tag, digest;  ///< what to ask for: a digest wins. Archives: a name inside
  bool all_images = false;
  std::string os, architecture, variant;
  bool platform_asked = false;      ///< an image of one platform must be of this one
  std::vector<Endpoint> endpoints;  ///< registries only, in the order to try
  std::string http_proxy, https_proxy, no_proxy;
  unsigned parallel = 3;  ///< downloads at a time
  friend bool operator==(const PullRequest&, const PullRequest&) = default;
};

/// op "verify": unpacks blobs once more and compares with what is there. Same descriptors.
struct VerifyLayer {
  std::string digest, diff_id, chain_id, media_type;
  std::uint64_t size = 0;
  std::vector<std::string> parents;  ///< chain ids below, nearest first
  friend bool operator==(const VerifyLayer&, const VerifyLayer&) = default;
};
struct VerifyRequest {
  std::string id;
  std::vector<VerifyLayer> layers;
  friend bool operator==(const VerifyRequest&, const VerifyRequest&) = default;
};
/// op "login": tries credentials. No descriptors but fetch/.
struct LoginRequest {
  Endpoint endpoint;
  std::string http_proxy, https_proxy, no_proxy;
  friend bool operator==(const LoginRequest&, const LoginRequest&) = default;
};
/// From the source to the supervisor, never from the engine: unpack this blob. Descriptors: the
/// blob for reading, and unless it is complete the feed (fetch/unpacker.h).
struct UnpackRequest {
  VerifyLayer layer;               ///< without parents: `below` proves what they are
  std::vector<std::string> below;  ///< diff_ids of the layers below, lowest first
  bool unpack = true;              ///< false: the tree is there, only the blob is to be proved
  std::size_t index = 0, count = 0;
  friend bool operator==(const UnpackRequest&, const UnpackRequest&) = default;
};
using FetchRequest = std::variant<PullRequest, VerifyRequest, LoginRequest, UnpackRequest>;

std::string encode(const FetchRequest& request);
Result<FetchRequest> decode_fetch_request(std::string_view text);

// What caisson-fetch says.

/// Said by the supervisor about one of its own unpackers that has ended well: the blob
/// fetch/partial/<hex> (or blobs/sha256/<hex>) has this digest and size, and unpacked it has this
/// diff_id; the tree is fetch/staging/<id>/<hex of chain id>. `unpacked` false: only the blob was
/// looked at. In a verify, `problem` says how the tree in layers/ differs.
struct LayerReady {
  std::string digest, diff_id, chain_id;
  std::uint64_t size = 0;
  std::uint64_t disk_bytes = 0;  ///< blocks of the tree, directories included
  bool unpacked = true;
  std::string problem;
  friend bool operator==(const LayerReady&, const LayerReady&) = default;
};
/// Said by the source (believed only as far as digests prove it): an image is complete. Its
/// documents are in fetch/partial/ or blobs/sha256/ under their digests.
struct ImageReady {
  std::string manifest_digest, config_digest;
  std::vector<std::string> index_digests;  ///< of the indexes on the way, outermost first
  std::vector<std::string> names;          ///< canonical; from the request, or from an archive
  friend bool operator==(const ImageReady&, const ImageReady&) = default;
};
/// Everything ended well and every other process is gone.
struct FetchDone {
  friend bool operator==(const FetchDone&, const FetchDone&) = default;
};
using FetchMessage = std::variant<PullEvent, LayerReady, ImageReady, Error, FetchDone>;

std::string encode(const FetchMessage& message);
Result<FetchMessage> decode_fetch_message(std::string_view text);

}  // namespace caisson::image
