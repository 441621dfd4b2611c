#include "engine/volumes.h"

#include <stdlib.h>

#include <memory>

namespace caisson::engine {

Result<BoxSpec> with_real_sources(BoxSpec spec) {
  for (Mount& mount : spec.mounts) {
    if (mount.type != MountType::kBind) continue;
    const std::unique_ptr<char, decltype(&::free)> real(::realpath(mount.source.c_str(), nullptr),
                                                        &::free);
    if (!real) {
      Error error = sys_error("open bind source", mount.source);
      error.reason = "mount_source_missing";
      return error;
    }
    mount.source = real.get();
  }
  return spec;
}

}  // namespace caisson::engine
