// Protected paths: what is below a writable bind and must stay as it is. Git's hooks and the
// settings of agents run later, with the rights of whoever works in the directory.
//
// A path that is there is shown read-only, and the directories above it are made mount points,
// which the kernel lets nobody rename or remove (rename(2), EBUSY). For one that is not there an
// empty placeholder takes the name as long as a box runs; it is made on the host, where the mount
// needs it, and is never itself shown to the box.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "caisson/spec.h"

namespace caisson::container {

/// One protected path as the host has it at the start. Paths are in the box.
struct Protection {
  std::vector<std::string> pinned;  ///< directories above it, from the top
  std::string path;                 ///< what becomes read-only: the path, or what is in its place
  bool placeholder = false;         ///< shown as nothing
  friend bool operator==(const Protection&, const Protection&) = default;
};

struct Protections {
  std::vector<Protection> list;
  std::vector<std::string> in_root;  ///< absolute ones that no bind holds
  std::vector<Fd> held;              ///< keep the placeholders there; to the end of the box
  std::vector<std::string> warnings;
};

/// Looks at every writable bind of the spec and makes placeholders, which `data` (the box's
/// directory) remembers from before they are made. `protect_unsafe`: a path that the spec names has
/// a symbolic link in it; for one of the profile's this is a warning.
Result<Protections> prepare_protections(const BoxSpec& spec, const std::string& data);

/// Removes the placeholders that `data` remembers and no other box uses. The box is gone, and what
/// prepare_protections held is closed. Idempotent.
void remove_placeholders(const std::string& data);

}  // namespace caisson::container
