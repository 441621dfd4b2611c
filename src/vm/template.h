// Templates: machines that were saved, from which boxes go on (docs/formats/home.md, templates/).
// One for each number of processors and size of memory, whose agent had just said hello; and some
// whose box had been made and had run nothing yet, for boxes of the same image and the same kind.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "vm/assets.h"
#include "vm/machine.h"

namespace caisson::vm {

/// A machine that stands still: its memory, and the state of its devices.
struct Saved {
  Fd memory, state;
  Fd folder;  ///< of a template: that has them, whatever becomes of its name
};

/// QEMU and its words, processors and memory: a machine goes on only where all are as they were.
Result<std::string> describe(const Machine& machine);

/// What the name of a template says: all that its memory comes from (guest, QEMU and its words, and
/// this boot of the host, whose clock rate it knows), processors and memory.
Result<std::string> template_name(const Machine& machine, const Assets& assets);

/// The same for one with a box, which depends on `inputs` too.
std::string box_template_name(const std::string& of_size, const std::string& inputs);

/// The directory, made when it is not there.
Result<Fd> open_templates(const std::string& home);

/// The template, opened for reading, and used now; nothing when there is none.
std::optional<Saved> find_template(int directory, const std::string& name, std::uint64_t bytes);

/// Templates are made by one at a time: waits for the others, but no longer than that.
Result<Fd> lock_templates(int directory, std::int64_t patience_ns);
/// A directory to save a machine in, of which nobody knows until `finish`; what an earlier maker
/// left goes.
Result<Fd> begin_template(int directory, const std::string& name);
/// Files in it for a machine of so much memory.
Result<Saved> make_saved(int folder, std::uint64_t bytes);
/// What was begun is not to be.
void drop_template(int directory);
/// The template is there. Those of other guests, of an earlier boot and so on go, and of those with
/// a box the ones that were not used for the longest time.
Result<> finish_template(int directory, const std::string& name);
/// The one in `folder` is of no use: it goes, unless another has its name already.
void remove_broken(int directory, const std::string& name, int folder);
/// One that is of no use; under the lock.
void remove_template(int directory, const std::string& name);

}  // namespace caisson::vm
