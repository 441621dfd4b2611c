// The layers that boxes write (docs/formats/home.md): how what a box has written becomes a layer
// that others share, and what a box's root is made of.
#pragma once

#include <vector>

#include "engine/box_impl.h"

namespace caisson::engine {

/// After a crash in seal(): what was moved away and never recorded comes back. The caller holds the
/// claim, or is about to give the box to the shim with it.
Result<> finish_sealing(const Runtime::Impl& runtime, const store::BoxRow& row);

/// Makes what the box has written so far a layer, and gives the box a new, empty writable one: no
/// byte is copied. The caller holds the claim. Returns the box's layers.
Result<std::vector<store::BoxLayer>> seal(const Runtime::Impl& runtime, const store::BoxRow& row);

/// The same of a microVM that runs, with its memory if that is asked for. With `stay` it does not
/// go on as long as `held` is open. Errors: `memory_unsaveable`, `box_not_running`.
struct SavedMachine {
  std::vector<store::BoxLayer> layers;
  Channel held;
};
Result<SavedMachine> save_machine(const Box::Impl& box, bool memory, bool stay);

/// The same as a copy, of a container that may run; its processes must stand still.
Result<std::vector<store::BoxLayer>> copy_written(const Runtime::Impl& runtime,
                                                  const store::BoxRow& row);

/// Gives a box other layers at once or not at all, and removes what it had written. The caller
/// holds the claim.
Result<> replace_layers(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const std::vector<store::BoxLayer>& layers);

/// What the box wrote in the generation of the row, which is not its own any more.
void remove_written(const Runtime::Impl& runtime, const store::BoxRow& row);

/// The trees that show what a box with these layers has: `root` without its own writable one.
Rootfs with_layers(const Runtime::Impl& runtime, Rootfs base,
                   const std::vector<store::BoxLayer>& layers);

/// The paths of its lower trees, topmost first.
std::vector<std::string> paths_of(const Rootfs& rootfs);

/// The tree of an image's layer as one of a box.
Result<std::vector<store::BoxLayer>> adopt_tree(const Runtime::Impl& runtime,
                                                const std::string& chain_id);

/// Removes those that nothing uses any more. What fails here goes with the next prune.
void discard_layers(const Runtime::Impl& runtime, const std::vector<store::BoxLayer>& layers);

/// Everything that the file system with the home has in memory is on the disk afterwards.
Result<> sync_home(const Runtime::Impl& runtime);

}  // namespace caisson::engine
