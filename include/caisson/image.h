// Images: OCI images of a home: pulled, listed, tagged, saved, removed.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/exec.h"  // Deadline
#include "caisson/result.h"

namespace caisson {

/// When a pull asks the source although the home has an image of that name.
enum class PullPolicy {
  kMissing,  ///< only when the home has none (archives and directories are always looked at)
  kAlways,   ///< the manifest is asked for; blobs and layers that are here are not
  kNever,    ///< never: `image_not_found` when the home has none
};
std::string_view to_string(PullPolicy policy);
Result<PullPolicy> parse_pull_policy(std::string_view text);

/// What to pull. `source` is `docker://REF` or a bare REF (`alpine:3.20`,
/// `host:5000/a/b@sha256:…`), `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
/// `docker-archive:FILE[:REF]`; paths are absolute.
struct PullSpec {
  std::string source;
  std::string platform;  ///< "os/architecture[/variant]", "arm64", …; empty: this host's
  PullPolicy policy = PullPolicy::kAlways;
  bool all_images = false;  ///< archives and oci: directories: every image in it, under its name
  friend bool operator==(const PullSpec&, const PullSpec&) = default;
};

/// The part of an image's configuration that a box takes over (OCI image-spec, config.md).
struct ImageConfig {
  std::vector<std::string> entrypoint, command;
  std::vector<std::string> env;  ///< "NAME=value", in the image's order
  std::string workdir, user, stop_signal;
  std::vector<std::string> volumes, exposed_ports;
  std::map<std::string, std::string> labels;
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// One layer, lowest first. Sizes in bytes.
struct ImageLayer {
  std::string digest;    ///< of the blob as it came
  std::string diff_id;   ///< of the uncompressed tar
  std::string chain_id;  ///< of this layer on those below (image-spec, "Layer ChainID")
  std::string media_type;
  std::uint64_t size = 0;        ///< of the blob
  std::uint64_t disk_bytes = 0;  ///< of the unpacked tree: blocks on disk
  friend bool operator==(const ImageLayer&, const ImageLayer&) = default;
};

/// A line of an image's history, oldest first.
struct ImageHistory {
  std::string created, created_by, author, comment;
  bool empty_layer = false;
  friend bool operator==(const ImageHistory&, const ImageHistory&) = default;
};

struct ImageInfo {
  std::string id;  ///< the manifest's digest, "sha256:<hex>": what the registry calls the image
  std::string config_digest;
  std::vector<std::string> names;  ///< canonical references, e.g. "docker.io/library/alpine:3.20"
  std::string os, architecture, variant;
  std::string created;                      ///< as the image says, RFC 3339, may be empty
  std::int64_t pulled_ns = 0, used_ns = 0;  ///< since the Unix epoch
  ImageConfig config;
  std::vector<ImageLayer> layers;
  std::vector<ImageHistory> history;
  std::uint64_t size = 0;        ///< of all its blobs
  std::uint64_t disk_bytes = 0;  ///< blobs and trees as blocks on disk, shared ones included
  std::uint64_t own_bytes = 0;   ///< of these, what no other image uses: what removing it frees
  friend bool operator==(const ImageInfo&, const ImageInfo&) = default;
};
/// The JSON object that `caisson image inspect` prints.
std::string to_json(const ImageInfo& info);

/// Something that happened in a pull. Byte counts are totals so far, of the blob as it comes.
struct PullEvent {
  enum class Kind {
    kResolved,  ///< the manifest is known; `digest` is its digest, `layers` the number of layers
    kLayer,     ///< a layer: `layer`, `digest`, `current`, `total` and `state`
    kRetry,     ///< `text` says what went wrong and how long it waits
  } kind = Kind::kLayer;
  enum class State { kWaiting, kDownloading, kUnpacking, kDone, kCached } state = State::kWaiting;
  std::size_t layer = 0, layers = 0;
  std::string digest;
  std::uint64_t current = 0, total = 0;
  std::string text;
  friend bool operator==(const PullEvent&, const PullEvent&) = default;
};
std::string to_json(const PullEvent& event);

/// A pull under way. Move-only, not thread-safe. Dropping it ends the pull; what has been fetched
/// is taken up by the next pull.
///
///     auto pull = runtime->images().pull({.source = "docker://alpine:3.20"});
///     while (auto event = pull->next_event()) { if (!*event) break; show(**event); }
///     auto images = pull->wait();
class Pull {
 public:
  class Impl;
  explicit Pull(std::unique_ptr<Impl> impl);
  Pull(Pull&&) noexcept;
  Pull& operator=(Pull&&) noexcept;
  ~Pull();

  /// Polls readable (POLLIN) when `next_event` or `wait` has something. Owned by the Pull.
  int fd() const;
  /// The next event; absent when there will be no more. kDeadlineExceeded loses nothing.
  Result<std::optional<PullEvent>> next_event(Deadline deadline = {});
  /// Waits to the end, makes the images visible, and returns them (one, or with `all_images` all).
  Result<std::vector<ImageInfo>> wait(Deadline deadline = {});

 private:
  std::unique_ptr<Impl> impl_;
};

struct RemoveImageOptions {
  bool force = false;  ///< also when boxes use it: its names go, the image with its last box
};
struct RemovedImages {
  std::vector<std::string> untagged;  ///< names
  std::vector<std::string> deleted;   ///< ids
};

struct PruneOptions {
  bool all = false;  ///< every image that no box uses, not only those without a name
  /// What is in no image and younger stays: a pull may be about to use it.
  std::chrono::nanoseconds grace = std::chrono::hours(1);
  /// Watermarks in bytes of disk: when images take more than `high`, those least recently used go
  /// until they take at most `low`. Absent: not used.
  std::optional<std::uint64_t> high, low;
};
struct PruneReport {
  std::vector<std::string> deleted;  ///< ids
  std::uint64_t freed_bytes = 0;
};

struct FsckProblem {
  std::string object;  ///< e.g. "layer sha256:…", "blob sha256:…"
  std::string text;
};
struct FsckReport {
  std::size_t images = 0, blobs = 0, layers = 0;  ///< looked at
  std::vector<FsckProblem> problems;
};

/// The images of a home. Cheap to copy; thread-safe. References are a name, a digest
/// (`sha256:…` of manifest or config) or the beginning of one (at least 4 hexadecimal digits).
/// Errors of all that take one: `reference_invalid`, `image_not_found`, `image_ambiguous`.
class Images {
 public:
  class Impl;
  explicit Images(std::shared_ptr<const Impl> impl);

  Result<Pull> pull(const PullSpec& spec);
  /// Newest first.
  Result<std::vector<ImageInfo>> list();
  Result<ImageInfo> inspect(std::string_view reference);
  /// Gives the image one more name; another image that had it loses it.
  Result<> tag(std::string_view reference, std::string_view name);
  /// By name: takes the name away, and the image with its last one. By id: `image_in_use` when it
  /// has several names and not `force`. `image_in_use` when boxes use it and not `force`.
  Result<RemovedImages> remove(std::string_view reference, const RemoveImageOptions& options = {});
  Result<PruneReport> prune(const PruneOptions& options = {});
  /// Writes the images into `fd` as one tar archive: an OCI layout that is a docker archive too.
  Result<> save(const std::vector<std::string>& references, int fd);
  /// Looks at everything: documents, blobs against their digests, trees against their blobs.
  Result<FsckReport> fsck();
  /// A read-only ext4 file of the image's root, made once for each image. Returns its path, valid
  /// until the image is removed.
  Result<std::string> disk(std::string_view reference);
  /// Makes `path`, a qcow2 file on top of that disk: writable, and as small as what is written.
  Result<> disk_overlay(std::string_view reference, const std::string& path);

  /// Checks `user` and `password` against the registry and keeps them as docker does
  /// (docs/registries.md). `registry` empty: docker.io.
  Result<> login(std::string_view registry, const std::string& user, const std::string& password);
  /// Forgets them; false when there was nothing.
  Result<bool> logout(std::string_view registry);

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace caisson
