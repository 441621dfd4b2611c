// Templates: saved machines, from which boxes with a kernel of their own go on instead of booting.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "caisson/result.h"
#include "caisson/spec.h"

namespace caisson {

struct TemplateInfo {
  std::string name;  ///< of its directory (docs/formats/home.md)
  unsigned cpus = 0;
  /// Of the machine: the box's limit and what its kernel takes, in steps of 64 MiB.
  std::uint64_t memory_bytes = 0;
  /// BoxSpec::source of the box that the machine has, in which nothing has run; empty: it has none
  /// yet, and serves any image.
  std::string source;
  std::uint64_t size_bytes = 0;  ///< that it takes on disk
  std::int64_t used_ns = 0;  ///< when a box went on from it, or it was made; since the Unix epoch
  friend bool operator==(const TemplateInfo&, const TemplateInfo&) = default;
};
/// The JSON object that `caisson vm ls` prints.
std::string to_json(const TemplateInfo& info);

/// The templates of a home. The first start of a kind of box makes what is missing by itself; here
/// it is made beforehand. They are good for this boot of the host, this guest and this QEMU. Cheap
/// to copy; thread-safe.
class Templates {
 public:
  class Impl;
  explicit Templates(std::shared_ptr<const Impl> impl);

  /// Makes what boxes of this kind begin from, or uses what is there; returns warnings. A box is
  /// made for it and goes again; nothing runs in it. Command, environment, labels and name say
  /// nothing. An empty source: only what every box of this many processors and this much memory
  /// begins from. `template_busy`; `template_unsupported` for what boots each time (`machine.cold`,
  /// `machine.kernel`, files of the host), `isolation_unsupported` for another isolation; else the
  /// errors of Runtime::create and Box::start.
  Result<std::vector<std::string>> warm(const BoxSpec& spec);
  /// Used last first. The error of a directory that cannot be read.
  Result<std::vector<TemplateInfo>> list();
  /// Removes all; boxes that have gone on from one are not disturbed. Returns their names.
  /// `template_busy` when somebody has been making one for ten seconds.
  Result<std::vector<std::string>> prune();

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace caisson
