// From an image source to a root file system.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "spec/rootfs.h"

namespace caisson::image {

/// A root file system, and what keeps it there: without one it is not ours to remove.
struct ResolvedSource {
  Rootfs rootfs;
  Fd held;
};

/// Resolves `host:` or `dir:PATH`. `home` is where prepared layers are kept. Errors:
/// `source_missing`, `source_unknown`.
Result<ResolvedSource> resolve_source(std::string_view source, const std::string& home);

/// Refuses a source that cannot be used, without preparing anything. The same errors. Returns the
/// source with the path as it is now, without symbolic links: what a box is started from.
Result<std::string> check_source(std::string_view source);

/// The lower layer of `host:`: a small tree with a synthesised /etc, made once per state of the
/// host's and kept under `home`/host-view/. It stays while `held` is open anywhere: who makes a new
/// one removes the others.
struct HostTree {
  std::string path;
  Fd held;
};
Result<HostTree> host_view(const std::string& home);

}  // namespace caisson::image
