// What distinguishes the files of a box from others, whoever can look into them.
#pragma once

#include <string>
#include <vector>

#include "engine/box_impl.h"
#include "engine/fetch.h"
#include "store/snapshots.h"

namespace caisson::engine {

/// A box as it is at one moment: a snapshot that stays as long as this. A box that runs is held
/// while the snapshot is made, and no longer.
class Moment final {
 public:
  /// The snapshot has the name of `staging`: without that it is one that a crash left.
  static Result<Moment> of(Box box, const Box::Impl& impl, const Staging& staging);
  Moment(Moment&& other) noexcept
      : box_(std::move(other.box_)), snapshot_(std::exchange(other.snapshot_, {})) {}
  Moment& operator=(Moment&&) = delete;
  ~Moment();

  const std::vector<store::BoxLayer>& layers() const { return snapshot_.layers; }

 private:
  Moment(Box box, store::SnapshotRow snapshot)
      : box_(std::move(box)), snapshot_(std::move(snapshot)) {}

  Box box_;
  store::SnapshotRow snapshot_;
};

/// Whether one of them is on a disk, which the host does not look into.
bool is_on_disk(const Rootfs& before, const Rootfs& after);

/// Has a guest tell what distinguishes them, to `output`: as a list (image/changes.h), or with
/// `layer` as the tar of an OCI layer. What comes is hostile.
Result<> compare_disks(const Runtime::Impl& runtime, const BoxSpec& spec, const Rootfs& before,
                       const Rootfs& after, bool layer, int output);

}  // namespace caisson::engine
