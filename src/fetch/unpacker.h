// The unpacker: one process for each layer. It reads the blob as it comes, proves its digest, size
// and diff_id, and makes the layer's tree. All it reads is hostile, so it first gives up whatever
// it does not need (fetch/seal.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "spec/oci.h"

namespace caisson::fetch {

/// What a layer may cost before it is refused as a bomb (`layer_bomb`).
struct LayerCaps {
  std::uint64_t bytes = std::uint64_t{64} << 30;  ///< of the tar, and of each file's length
  std::uint64_t ratio = 200;                      ///< tar : blob, looked at from `ratio_floor` on
  std::uint64_t ratio_floor = std::uint64_t{1} << 30;
  std::uint64_t entries = 2'000'000;
  std::size_t depth = 256;  ///< components of a name
  friend bool operator==(const LayerCaps&, const LayerCaps&) = default;
};

struct UnpackJob {
  std::string digest, diff_id, chain_id;  ///< "sha256:…"; all are proved except chain_id
  spec::Compression compression = spec::Compression::kNone;
  std::uint64_t size = 0;            ///< of the blob
  std::vector<std::string> parents;  ///< chain ids below, nearest first
  bool unpack = true;                ///< false: only the blob and its diff_id are looked at
  bool compare = false;              ///< a verify: says how layers/<chain> differs from the result
  LayerCaps caps;

  /// Root's: the process becomes user 65534 and keeps six capabilities. False: it is in the outer
  /// user namespace of an ordinary user (sys::enter_outer_namespace) and stays its root.
  bool nobody = false;
  bool one_id = false;  ///< that namespace holds one id: other owners are recorded, not set
  /// Unit tests and fuzzing only: works in this process without giving up anything.
  bool unsafe_unsealed = false;

  std::size_t layer = 0, layers = 0;  ///< for the events

  Fd blob;  ///< the partial or published file, open for reading
  /// A pipe or SEQPACKET of native u64: how many bytes of the blob are there so far. Invalid: all
  /// are. End of file before `size`: the download was given up.
  Fd feed;
  Fd control;     ///< SEQPACKET to the supervisor
  Fd own;         ///< fetch/staging/<pull id>/<hex of chain id>/, empty; unused without `unpack`
  Fd staging;     ///< fetch/staging/<pull id>/
  Fd layers_dir;  ///< layers/
};

/// What the unpacker says on `control`: documents of image::encode(FetchMessage), that is
/// PullEvents
/// (`current` of `total` bytes of the blob consumed, at most some 20 a second) and in the end a
/// LayerReady or an Error; and, at most once in between, kNeedParents: it then waits for the
/// message kParentsReady, to be sent when every parent is complete in `staging` or `layers_dir`. If
/// the socket is closed instead, the process ends.
constexpr std::string_view kNeedParents = "need-parents";
constexpr std::string_view kParentsReady = "parents-ready";

/// Never returns: exit status 0 after LayerReady, 1 after an Error. Call it in a fresh fork of a
/// process with one thread; every descriptor but those of `job` is closed, standard error excepted.
[[noreturn]] void run_unpacker(UnpackJob job);

}  // namespace caisson::fetch
