// Home: where one runtime keeps things, and what it is made of (docs/formats/home.md).
#pragma once

#include <memory>
#include <string>

#include "backend/protocol.h"
#include "caisson/runtime.h"
#include "store/images.h"
#include "store/snapshots.h"
#include "store/state.h"
#include "store/volumes.h"
#include "telemetry/audit.h"
#include "telemetry/metrics.h"

namespace caisson::engine {

/// Finds and makes the directories. Errors: `home_unusable`.
Result<backend::Layout> open_layout(const OpenOptions& options);
/// The shim program. Errors: `shim_missing`.
Result<std::string> find_shim(const OpenOptions& options);
/// The directory of what microVMs boot; empty when there is none.
std::string find_guest(const OpenOptions& options, const std::string& shim);
/// The program that pulls. Errors: `fetch_missing`.
Result<std::string> find_fetch(const OpenOptions& options);
/// Marks a directory whose entries have nothing to do with each other, boxes or trees: ext2/3/4
/// then spreads them over the disk instead of looking for room for all of them in one place
/// (ioctl_iflags(2), FS_TOPDIR_FL). Elsewhere, and where it is not allowed, they are as well off
/// without.
void spread_children(const std::string& path);
/// This boot's id (random(4), /proc/sys/kernel/random/boot_id).
std::string boot_id();

}  // namespace caisson::engine

namespace caisson {

class Runtime::Impl final {
 public:
  Impl(backend::Layout layout, std::string shim, OpenOptions options, store::State state,
       std::string boot)
      : layout(std::move(layout)),
        shim(std::move(shim)),
        boot(std::move(boot)),
        options(std::move(options)),
        state(std::move(state)) {}
  /// Shortens the database's log when it has grown: whoever opens it first next time reads it all.
  ~Impl() { [[maybe_unused]] const auto tidied = state.tidy(); }
  const backend::Layout layout;
  const std::string shim;  ///< empty when it was not found; an error only when one is needed
  const std::string boot;  ///< this boot's id
  const OpenOptions options;
  mutable store::State state;
  mutable store::ImageState images{state};
  mutable store::SnapshotState snapshots{state, layout.home + "/layers"};
  mutable store::VolumeState volumes{state};
  telemetry::Metrics metrics{layout.home};
  mutable telemetry::AuditLog audit{layout.home, metrics};

  std::string path(std::string_view below) const { return format("{}/{}", layout.home, below); }
};

}  // namespace caisson
